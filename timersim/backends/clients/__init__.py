"""The clients of real workers, which can be stopped in the middle of a request, and the queue, with both its ends."""
