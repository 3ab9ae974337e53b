"""What the executor enforces, each limit seen to fire: `check.py` runs them all."""
