"""Measures which engine and precision compute a front fastest on this machine."""

import os
import platform
import statistics
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras
import numpy as np

from transferkit.frozen.compiling import available_engines, compile_front
from transferkit.frozen.costs import multiply_adds
from transferkit.frozen.precision import WORTHWHILE, precisions_here
from transferkit.frozen.signatures import architecture_of

__all__ = ["choose_front", "engines_here", "precisions_here", "situation_of"]

_ENGINE_WORTHWHILE = 1.3  # times faster than Keras before OpenVINO is worth a second way of computing
_ROUNDS = 3
_HOPELESS = 2.0  # times slower than the best, after which a candidate is timed no more
_WORK = {"cpu": 3e10, "gpu": 2e12}  # multiply-adds that take some tenths of a second
_FEW_IMAGES = 8  # of a network whose multiply-adds cannot be counted


def engines_here():
    """Returns the names of the engines that may be fast here, Keras first: OpenVINO runs on CPUs only."""
    return available_engines()[:1] if keras.distribution.list_devices("gpu") else available_engines()


def choose_front(models, candidates, batch_shape, known=None, *, work=None, start=None):
    """Times a front with several engines and precisions and chooses one.

    The choice is float32 unless another precision is at least 1.15 times faster, and Keras unless OpenVINO is at least
    1.3 times faster still. OpenVINO is timed in the precision that Keras is fastest in.

    Args:
        models: Models in a row, as for `compile_front`.
        candidates: Pairs `(engine, precision)`.
        batch_shape: Shape of a batch of images. Less of it may be used for timing.
        known: Dict of earlier measurements: images a second, by what they depend on (see `situation_of`). They are
            used, and new ones are added. It can be written to a JSON file.
        work: Multiply-adds of a batch that is timed; default: as many as take some tenths of a second.
        start: Gets a front ready to be timed; default: `start_front`.

    Returns:
        `(chosen, speeds)`: one of the candidates, and a dict from candidates to images a second. Those that were not
        tried are not in it; one that the engine cannot run has 0.
    """
    images = np.zeros((_num_images(models, batch_shape, work), *batch_shape[1:]), "float32")
    situation = situation_of(models, batch_shape)
    timer = _Timer(partial(start or start_front, models, images=images), situation, {} if known is None else known)
    chosen = None
    for engine in sorted({engine for engine, _ in candidates}):  # Keras first
        pairs = [pair for pair in candidates if pair[0] == engine]
        same_precision = [pair for pair in pairs if chosen and pair[1] == chosen[1]]
        timer.measure(same_precision or pairs, beside=chosen)
        fastest = _choose_precision(same_precision or pairs, timer.speeds)
        if chosen is None or timer.speeds[fastest] >= _ENGINE_WORTHWHILE * timer.speeds[chosen]:
            chosen = fastest
    return chosen, timer.speeds


def _choose_precision(pairs, speeds):
    plain = next((pair for pair in pairs if pair[1] == "float32"), None)
    fastest = max(pairs, key=speeds.get)
    return plain if plain and speeds[fastest] < WORTHWHILE * speeds[plain] else fastest


def situation_of(models, batch_shape):
    """Describes what the speed of a front depends on: machine, libraries, the networks without their weights, batch."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in ("keras", "tensorflow", "openvino"))
    devices = " ".join(keras.distribution.list_devices())
    networks = " ".join(architecture_of(model)[:16] for model in models)
    shape = " x ".join(map(str, batch_shape))
    return f"{_processor()}, {_num_cores()} cores, {devices}, {libraries}; {networks}; {shape}"


class _Timer:
    """Measures speeds that are not known yet.

    Args:
        start: Function from a pair of engine and precision to what times it, as `start_front` makes it.
        situation: What speeds depend on besides.
        known: Dict of what is known.
    """

    def __init__(self, start, situation, known):
        self.speeds = {}
        self._start = start
        self._situation = situation
        self._known = known
        self._started = {}

    def measure(self, candidates, beside=None):
        """Puts the images a second of each candidate into `speeds`.

        Args:
            candidates: Pairs `(engine, precision)`.
            beside: Another pair, which is timed again beside those that have to be.
        """
        missing = [pair for pair in candidates if self._key(pair) not in self._known]
        if missing:
            # `beside` again, since the machine may be busier than it was when that speed was measured.
            measured = self._time(missing if beside is None else [beside, *missing])
            self._known.update({self._key(pair): round(speed, 2) for pair, speed in measured.items()})
        self.speeds.update({pair: self._known[self._key(pair)] for pair in [*self.speeds, *candidates]})

    def _key(self, pair):
        return f"{self._situation}; {' '.join(pair)}"

    def _time(self, candidates):
        self._started.update({pair: self._start(pair) for pair in candidates if pair not in self._started})
        times = {pair: [] for pair in candidates if self._started[pair]}
        for _ in range(_ROUNDS):  # in turn, so that whatever else the machine does falls upon all
            for pair, seconds in times.items():
                best = min((min(others) for others in times.values() if others), default=0)
                if not seconds or seconds[0] < _HOPELESS * best:
                    seconds.append(self._started[pair]())
        # The median, so that one disturbed measurement does not decide.
        return {pair: 1 / statistics.median(times[pair]) if pair in times else 0.0 for pair in candidates}


def start_front(models, pair, images):
    """Compiles a front and runs it once.

    Args:
        models: Models in a row.
        pair: Engine and precision.
        images: The batch to be timed.

    Returns:
        A function that runs the front once more and returns the seconds that each image took, or `None` if the engine
        cannot run it.
    """
    engine, precision = pair
    front = compile_front(models, precision=precision, engine=engine, batch_size=len(images))
    try:
        front(images)  # compiles, which must not be timed
    except RuntimeError:  # an operation that OpenVINO does not know
        if engine == "keras":
            raise
        return None

    def seconds():
        start = time.perf_counter()
        front(images)
        return (time.perf_counter() - start) / len(images)

    return seconds


def _num_images(models, batch_shape, asked):
    """How many images make a batch that is quick to compute, yet takes long enough to be timed."""
    try:
        work = sum(sum(multiply_adds(model).values()) for model in models)
    except ValueError:  # a network for images of any size
        return min(batch_shape[0], _FEW_IMAGES)
    device = "gpu" if keras.distribution.list_devices("gpu") else "cpu"
    return int(np.clip((asked or _WORK[device]) / max(work, 1), 1, batch_shape[0]))


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _num_cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(library):
    for name in (library, f"{library}-cpu"):  # the same library may be installed under either name
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"
