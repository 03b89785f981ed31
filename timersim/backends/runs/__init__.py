"""The runs with real workers: in virtual time, with code of a user's own, and in real time."""
