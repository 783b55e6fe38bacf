"""Speed on this machine: one way to time, to tell the machine, to keep results and to guard them (`jaxmarl bench`)."""

from jaxmarl.bench.harness import Timing, chained, compiled, machine, timed
from jaxmarl.bench.results import Row, compare, load_results, save_results

__all__ = ["Row", "Timing", "chained", "compare", "compiled", "load_results", "machine", "save_results", "timed"]
