"""``python -m benchmarks.real_data``."""

from benchmarks.real_data.suite import main

if __name__ == "__main__":
    raise SystemExit(main())
