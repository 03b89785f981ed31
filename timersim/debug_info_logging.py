"""The log line about expired timers, under the name that torch gives it."""

import logging

__all__ = ["log_debug_info_for_expired_timers"]

logger = logging.getLogger(__name__)


def log_debug_info_for_expired_timers(run_id: str, expired_timers: dict[int, list[str]]) -> None:
    """Logs the expired timers of a run, by worker, each as JSON; nothing where there are none.

    >>> log_debug_info_for_expired_timers("job 7", {})
    """
    if expired_timers:
        logger.info("Timers expired for run:[%s] [%s].", run_id, expired_timers)
