"""A busy machine: how long an example of a user's suite takes there says nothing about it."""

NO_DEADLINE = """
from hypothesis import settings

settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
"""
"""The conftest.py of a suite that is run by a test."""
