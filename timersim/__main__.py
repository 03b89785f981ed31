"""`python -m timersim` is `timersim`."""

from timersim.cli import main

if __name__ == "__main__":
    main()
