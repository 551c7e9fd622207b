"""Counts the instructions of the hot path, which repeat where times do not.

`python -m benchmarks.instructions` runs the operations of `operations.py` under valgrind's callgrind, compares each
with the figure accepted for this build in `accepted.json`, and exits with 1 where one costs more than is tolerated.

- The count is of all that the loop's thread does in user space: interpreter, twins, libraries; not of the kernel, nor
  of the thread that writes the access log.
- It is taken twice, of N and of 2 N operations in a row; their difference, divided by N, is free of what happens once.
- A build is named by what compiled it. For one that has no accepted figures, the ratio to a fixed piece of work that is
  counted in the same run (`calibration.py`) is compared with the ratios of the nearest build, within a wider tolerance.
- `--accept` writes this build's figures into `accepted.json`: do so where a change is meant, and commit both together.
- `--profile OPERATION` shows which functions the instructions go to.
- `--lines OPERATION` shows how many lines of memory it fetches from beyond the caches of one core, and for which
  functions: what requests cost as pods and models become many (docs/performance.md).
"""
