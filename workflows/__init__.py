"""The reference workflows, to copy from. They decide; the tools in `activities/` act."""
