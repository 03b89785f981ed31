"""A job runner: the steps of a job have limits, and a reaper cancels the job that exceeds one."""

import os

BUG = os.environ.get("JOB_RUNNER_BUG")
