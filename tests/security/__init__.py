"""Attacks as a hostile party would make them: a worker, a workflow author, an administrator, a web page, a reader."""
