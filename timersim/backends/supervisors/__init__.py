"""Supervisors: what runs tasks with a timeout and kills those that hang, as a process pool does."""
