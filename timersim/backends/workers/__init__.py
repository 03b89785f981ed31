"""The real workers: where they come from, and what they do from their first step on."""
