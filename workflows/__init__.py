"""The reference workflows: what a newcomer copies. They decide; the tools in `activities/` act."""
