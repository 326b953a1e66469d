"""One runnable file a question: `python -m benchmarks.NAME`; `python -m benchmarks` runs all."""
