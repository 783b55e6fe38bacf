"""Periods a second of Q-learning firms: all sessions at once, against one compiled session, NumPy, and a loop in C.

    python scripts/bench/pricing.py [--sessions 1 16 64 256] [--updates 10] [--smoke]

Two firms, 15 prices, α = 0.15, exploring with probability 0.1. Rows count periods of all sessions together, random
numbers included, after compilation. The NumPy loop steps 64 sessions together, row by row as a careful user would
write it; the C loop (where a compiler is found) plays one session in a row after another on one core, with a 64-bit
linear congruential generator: it is what a processor can do, and what the published study was made with in kind.
Below the table stands what the published grid, 100 x 100 settings of 10 sessions, would take at the best of these
rates, and on an accelerator whose memory is the limit (an estimate, no measurement).
"""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import numpy as np

from jaxmarl.bench.harness import Timing, parser, start, timed, write
from jaxmarl.envs.pricing import LogitPricing
from jaxmarl.learners import RepeatedQConfig, repeated_q
from jaxmarl.learners.repeated_q import joint_table
from jaxmarl.learners.sessions import initial_q

M, ALPHA, DELTA, EPSILON = 15, 0.15, 0.95, 0.1
GRID_SESSIONS, GRID_PERIODS = 100 * 100 * 10, 1.5e6  # of the published study; periods until a session is stable
ROW = 64  # bytes of a row of action values: four are read in a period, two are written
ACCELERATOR = 3.35e12 / 3  # bytes/s: an H100's memory, a third of it because rows are scattered

C_SOURCE = r"""
#include <stdint.h>
enum { M = 15, S = 225 };
static inline uint32_t draw(uint64_t *x) { *x = *x * 6364136223846793005ULL + 1442695040888963407ULL; return *x >> 32; }
static inline int best(const float *row) {
  int a = 0;
  for (int i = 1; i < M; i++) if (row[i] > row[a]) a = i;
  return a;
}
long play(float *q, const float *pay, long periods, float alpha, float delta, double epsilon, uint64_t seed) {
  uint32_t limit = epsilon * 4294967295.0;
  long stable = 0;
  int s = 0;
  for (long t = 0; t < periods; t++) {
    float *row[2] = {q + (s * 2) * M, q + (s * 2 + 1) * M};
    int greedy[2], act[2];
    for (int i = 0; i < 2; i++) {
      greedy[i] = best(row[i]);
      act[i] = draw(&seed) < limit ? (int)(((uint64_t)draw(&seed) * M) >> 32) : greedy[i];
    }
    int next = act[0] * M + act[1];
    float target[2];
    for (int i = 0; i < 2; i++) {
      const float *ahead = q + (next * 2 + i) * M;
      target[i] = pay[next * 2 + i] + delta * ahead[best(ahead)];
    }
    int changed = 0;
    for (int i = 0; i < 2; i++) {
      row[i][act[i]] += alpha * (target[i] - row[i][act[i]]);
      changed |= best(row[i]) != greedy[i];
    }
    stable = changed ? 0 : stable + 1;
    s = next;
  }
  return stable;
}
"""


def jax_rate(payoffs, sessions: int, updates: int, repeats: int) -> float:
    """Periods a second of `repeated_q`."""
    config = RepeatedQConfig(steps_per_update=1000)
    learner = repeated_q(payoffs, ALPHA, 0.0, config, epsilon=EPSILON, num_sessions=sessions)
    update = jax.jit(learner.update, donate_argnums=0)
    last = [learner.init(jax.random.key(0))]

    def call() -> jax.Array:
        for _ in range(updates):
            last[0], _ = update(last[0])
        return last[0].q

    return rate(timed(call, repeats), updates * config.steps_per_update * sessions)


def rate(timing: Timing, periods: float) -> float:
    """Periods a second of the median call."""
    return periods / timing.median


def numpy_rate(payoffs, sessions: int, periods: int, repeats: int) -> float:
    """Periods a second of a NumPy loop over periods that steps all sessions together."""
    rng, table = np.random.default_rng(0), np.asarray(joint_table(payoffs))
    q = np.tile(np.asarray(initial_q(payoffs, DELTA)), (sessions, M * M, 1, 1))
    lane, firm = np.arange(sessions)[:, None], np.arange(2)
    history, stable = np.zeros(sessions, int), np.zeros(sessions, int)

    def call() -> None:
        nonlocal history, stable
        for _ in range(periods):
            greedy = q[lane[:, 0], history].argmax(-1)
            explores = rng.random((sessions, 2)) < EPSILON
            action = np.where(explores, rng.integers(0, M, (sessions, 2)), greedy)
            following = action[:, 0] * M + action[:, 1]
            target = table[following] + DELTA * q[lane[:, 0], following].max(-1)
            cell = lane, history[:, None], firm, action
            q[cell] += ALPHA * (target - q[cell])
            changed = (q[lane[:, 0], history].argmax(-1) != greedy).any(-1)
            stable, history = np.where(changed, 0, stable + 1), following

    return rate(timed(call, repeats), periods * sessions)


def c_rate(payoffs, periods: int, repeats: int) -> float | None:
    """Periods a second of the C loop, or None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "play.c", Path(folder) / "play.so"
        source.write_text(C_SOURCE)
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        play = ctypes.CDLL(str(library)).play
        play.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, *[ctypes.c_float] * 2]
        play.argtypes += [ctypes.c_double, ctypes.c_uint64]
        q = np.tile(np.asarray(initial_q(payoffs, DELTA), np.float32), (M * M, 1, 1))
        table = np.ascontiguousarray(joint_table(payoffs), np.float32)

        def call() -> None:
            play(q.ctypes.data, table.ctypes.data, periods, ALPHA, DELTA, EPSILON, 1)

        return rate(timed(call, repeats), periods)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--sessions", type=int, nargs="+", default=[1, 16, 64, 256])
    options.add_argument("--updates", type=int, default=10, help="of 1000 periods each")
    options.add_argument("--smoke", action="store_true")
    args = options.parse_args()
    if args.smoke:
        args.sessions, args.updates, args.repeats = [2], 1, 1
    device, repeats = start(args), args.repeats
    env = LogitPricing(num_prices=M)
    payoffs = env.stage_payoffs(env.default_params)
    rows: list[tuple[str, float | None]] = [
        (f"jaxmarl, {n} sessions", jax_rate(payoffs, n, args.updates, repeats)) for n in args.sessions
    ]
    for n, name in ((64, "NumPy, 64 sessions"), (1, "NumPy, 1 session")):
        rows.append((name, numpy_rate(payoffs, n, 200 * args.updates, repeats)))
    rows.append(("C, 1 session", c_rate(payoffs, 100_000 * args.updates, repeats)))

    from rich.console import Console
    from rich.table import Table

    table = Table("", "million periods/s", title=f"Q-learning firms ({device})")
    for name, speed in rows:
        table.add_row(name, "no compiler" if speed is None else f"{speed / 1e6:.3f}")
    Console(width=100).print(table)
    write(args.out, {"periods_per_second": dict(rows)})
    ours = [speed or 0.0 for name, speed in rows if name.startswith("jaxmarl")]
    periods, best = GRID_SESSIONS * GRID_PERIODS, max(ours)
    print(
        f"the published grid, {periods:.2g} periods: {periods / best / 3600:.1f} h here; "
        f"{GRID_SESSIONS * 2 * M**3 * 4 / 1e9:.1f} GB of action values and at least "
        f"{periods * 6 * ROW / ACCELERATOR:.0f} s on an H100, if its memory is the limit"
    )


if __name__ == "__main__":
    main()
