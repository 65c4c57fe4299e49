"""Two classifiers on the same images: which is better, by how much, and whether chance alone could do that."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm

from transferkit._utils.html import html_paragraphs, html_table
from transferkit._utils.text import listing
from transferkit.evaluation.base import Report
from transferkit.evaluation.intervals import Resampling, bca_interval, num_resamples, resample
from transferkit.evaluation.metrics import metrics_of

_Z = norm.ppf(0.975)


@dataclass(frozen=True)
class MetricDifference:
    """One metric of two reports.

    Attributes:
        name: Key of the metric, such as `"macro_f1"`.
        title: What to call it, such as `"macro F1"`.
        a: Its value in the first report.
        b: Its value in the second one.
        difference: `b - a`.
        low: Lower end of the 95 % interval of the difference, or NaN.
        high: Upper end of it, or NaN.
        p_value: How probable a difference as large as this is if there is none.
        is_share: Whether it is a share, of which a hundredth is a point.
        is_loss: Whether less is better.
    """

    name: str
    title: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    is_share: bool = True
    is_loss: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes 0: chance alone hardly makes such a difference."""
        return self.low > 0 or self.high < 0

    def __str__(self):
        scale, digits, unit = (100, 1, " points") if self.is_share else (1, 3, "")
        is_b_better = self.difference <= 0 if self.is_loss else self.difference >= 0
        # So that numbers above 0 speak for the better one.
        sign = 1 if is_b_better != self.is_loss else -1
        size, low, high = (scale * sign * value for value in (self.difference, *(self.low, self.high)[::sign]))
        text = f"{'B' if is_b_better else 'A'} is better by {size:.{digits}f}{unit}" if size else "equal"
        if np.isfinite(low) and np.isfinite(high):
            text += f", {low:.{digits}f} to {high:.{digits}f}"
        return text if self.is_certain else f"{text}: no clear difference"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found. `print(comparison)` says it in words, and a notebook shows a table.

    Attributes:
        num_images: Number of images.
        metrics: Dict of `MetricDifference` by the name of the metric.
        only_a_right: Number of images that only the first classifier got right.
        only_b_right: Number of images that only the second one got right.
        notes: What could not be compared, in words.
    """

    num_images: int
    metrics: dict[str, MetricDifference]
    only_a_right: int
    only_b_right: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain Python numbers, strings and dicts, ready for JSON; NaN as `None`."""
        fields = ("a", "b", "difference", "low", "high", "p_value")
        return {
            "num_images": self.num_images,
            "only_a_right": self.only_a_right,
            "only_b_right": self.only_b_right,
            "metrics": {
                name: {field: None if np.isnan(getattr(each, field)) else getattr(each, field) for field in fields}
                for name, each in self.metrics.items()
            },
            "notes": list(self.notes),
        }

    def __repr__(self):
        return f"Comparison({self._headline()!r}, num_images={self.num_images})"

    def __str__(self):
        header, rows = self._rows()
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        table = [
            "  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:]), words])
            for name, *numbers, words in [header, *rows]
        ]
        return "\n".join([self._headline(), self._counts(), "", *table, *self.notes])

    def _repr_html_(self):
        first = html_paragraphs([self._headline(), self._counts()])
        return first + html_table(*self._rows()) + html_paragraphs(self.notes)

    def _headline(self):
        return f"{self.metrics['accuracy'].title}: {self.metrics['accuracy']}"

    def _counts(self):
        return (
            f"{self.num_images:,} images, of which {self.only_a_right:,} only A gets right and {self.only_b_right:,} "
            f"only B, p = {self.metrics['accuracy'].p_value:.2g}"
        )

    def _rows(self):
        rows = [
            (each.title, f"{each.a:.3f}", f"{each.b:.3f}", f"{each.p_value:.2g}", str(each))
            for each in self.metrics.values()
        ]
        return ("metric", "A", "B", "p", "difference, with its 95 % interval"), rows


def compare(report_a: Report, report_b: Report) -> Comparison:
    """Compares two classifiers on the same images.

    Both reports must be of the same images with the same labels: most of what makes two accuracies vary then is the
    same for both, so much smaller differences can be told than from two intervals. Accuracies are compared by
    McNemar's exact test (1947), and their difference has the interval of Bonett and Price (2012); all else, and all
    where images belong to groups, by drawing images, or groups, for both together.

    Args:
        report_a: Report of the first classifier, A.
        report_b: Report of the second one, B, of the same kind. Its images may be in another order, if they have names.

    Returns:
        A `Comparison`. Differences are those of B less A.

    Raises:
        TypeError: If the two are not reports of one kind.
        ValueError: If they are of other images, other labels or other classes.

    Example:
        >>> import numpy as np
        >>> from transferkit import EvaluationReport
        >>> names, labels = np.array(["cat", "dog"]), np.tile([0, 1], 100)
        >>> is_wrong = np.arange(200) % 4 == 0
        >>> a = EvaluationReport(names, labels, np.eye(2)[labels ^ is_wrong])
        >>> b = EvaluationReport(names, labels, np.eye(2)[labels])
        >>> print(compare(a, b).metrics["accuracy"])
        B is better by 25.0 points, 18.6 to 30.9
    """
    report_b = _same_images(report_a, report_b)
    a, b = report_a.sample, report_b.sample
    metrics = [metric for metric in metrics_of(a) if metric.needs(a) is None]
    notes = [f"{metric.title}: {metric.needs(a)}" for metric in metrics_of(a) if metric not in metrics]
    resampling = Resampling(len(a.labels), report_a.groups)
    functions = [
        lambda weights, metric=metric: metric.weighted(b, weights) - metric.weighted(a, weights) for metric in metrics
    ]
    count = num_resamples(2 * len(a.labels), a.num_classes)
    drawn = resample(functions, resampling, count)
    found = {
        metric.name: _difference(metric, a, b, numbers, resampling)
        for metric, numbers in zip(metrics, drawn, strict=True)
    }
    if report_a.groups is None:
        found |= {
            metric.name: _paired_proportions(found[metric.name], metric.counts(a), metric.counts(b))
            for metric in metrics
            if metric.is_proportion
        }
    only_a, only_b = int((a.is_right & ~b.is_right).sum()), int((b.is_right & ~a.is_right).sum())
    return Comparison(len(a.labels), found, only_a, only_b, tuple(notes))


def _difference(metric, a, b, numbers, resampling):
    values = float(metric.function(a)), float(metric.function(b))
    difference = values[1] - values[0]
    interval = bca_interval(difference, *numbers, resampling.num_units)
    options = (metric.is_share, metric.is_loss)
    return MetricDifference(
        metric.name, metric.title, *values, difference, *interval, _p_value(difference, numbers[0]), *options
    )


def _p_value(difference, resampled):
    """Share of resamples whose difference is as far from the one found as that is from 0, on both sides."""
    known = resampled[np.isfinite(resampled)]
    is_far = np.abs(known - difference) >= np.abs(difference) - 1e-12
    return float((is_far.sum() + 1) / (len(known) + 1))


def _paired_proportions(found, a, b):
    """The same with McNemar's exact test and the interval of Bonett and Price, of what each image counts."""
    only_a, only_b, num_images = int((a > b).sum()), int((b > a).sum()), len(a)
    total = num_images + 2
    shares = np.array([only_a + 1, only_b + 1]) / total
    middle = shares[1] - shares[0]
    half = _Z * np.sqrt((shares.sum() - middle**2) / total)
    p_value = binomtest(only_b, only_a + only_b).pvalue if only_a + only_b else 1.0
    low, high = max(-1, middle - half), min(1, middle + half)
    return MetricDifference(
        found.name, found.title, found.a, found.b, found.difference, float(low), float(high), float(p_value)
    )


def _same_images(report_a, report_b):
    """Returns the second report with its images in the order of the first, or raises an error if they are others."""
    for report in (report_a, report_b):
        if not isinstance(report, Report):
            raise TypeError(f"`compare` takes two reports of `evaluate`. Received: {type(report).__name__}.")
    if type(report_a) is not type(report_b):
        kinds = " and ".join(type(report).__name__ for report in (report_a, report_b))
        raise TypeError(f"`compare` takes two reports of one kind. Received: {kinds}.")
    if report_a.num_images != report_b.num_images:
        raise ValueError(
            "The reports are of different images. Evaluate both classifiers on the same ones. "
            f"Received: {report_a.num_images:,} and {report_b.num_images:,} images."
        )
    if report_a.class_names.tolist() != report_b.class_names.tolist():
        raise ValueError(
            "The reports are of classifiers with different classes. "
            f"Received: {listing(report_a.class_names)}; and {listing(report_b.class_names)}."
        )
    report_b = _in_order_of(report_a, report_b)
    differs = (report_a.labels != report_b.labels).reshape(report_a.num_images, -1).any(axis=1)
    if differs.any():
        raise ValueError(
            f"The reports have different labels for {differs.sum():,} of {len(differs):,} images, so they are of other "
            f"images, or in another order. The first is {report_a.name(int(differs.argmax()))!r}."
        )
    return report_b


def _in_order_of(report_a, report_b):
    names_a, names_b = report_a.image_names, report_b.image_names
    if names_a == names_b:
        return report_b
    missing = sorted(set(names_a) - set(names_b))
    if missing or len(set(names_a)) < len(names_a):
        examples = listing(missing or names_a, 3)
        raise ValueError(
            "The reports are of different images, by their names. Evaluate both classifiers on the same ones, given "
            f"by the same paths. Only in the first, or more than once: {examples}."
        )
    places = {name: row for row, name in enumerate(names_b)}
    return report_b.take([places[name] for name in names_a])
