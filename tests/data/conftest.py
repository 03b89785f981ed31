"""Suites of other people: they run in folders of their own, never as a part of ours."""

collect_ignore = ["job_runner"]
