"""The command's first line: `timersim`, and `python -m timersim`."""

import sys

INTERRUPTED = 130
"""The shell's exit status for Ctrl-C."""


def main() -> None:
    """Runs the command; an interrupt before it has begun is no traceback either."""
    try:
        from timersim import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("timersim: interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
