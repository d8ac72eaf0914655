"""Attacks, each as a hostile party would make it: a worker, a workflow author, an administrator, a web page, a reader."""
