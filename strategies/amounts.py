"""The numbers that are drawn: how much, how often, how far away."""

GAPS = (0, 1, 2, 0, 3, 0, 5)
"""The gaps that are drawn as such, in ticks; others are aimed at an expiration."""

AIMS = tuple((which, near) for which in (0, 1) for near in (0, -1, 1))
"""Where an aimed gap ends: which of the next expirations, and how far from it, in ticks."""

AFTERS = (5, 1, 2, 12, 0, 8, 20, 3)
"""The expirations that are drawn, in ticks from the acquire."""

RARE = (6, 7)
"""The values with which the server is started though it runs, or stopped though it is stopped.

A stopped server is started with them where timers are held, or where anything but a stop was drawn.
"""

ALIKE = (6, 7)
"""The values with which a timer is due with another one, or a request is under way until its timer is due."""

PAUSES = (6, 2, 12, 1)
"""How long the server is paused, in ticks."""

LATER = (1, 2, 3, 5, 6, 8, 12, 20)
"""For how many ticks a request is under way, or a reap takes."""

STEPS = (5, -5, 1, -1, 20, -20, 100, -100)
"""By how many ticks the wall clock steps, or how many thousandths of a tick it gains in each."""

TIMES = (1, 2, 3, 4, 5, 7, 12, 20)
"""How often a reap fails, or how many requests a flood has."""
