"""The one place that checks, inspects, reads and streams the images of a classifier."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from transferkit._utils import console
from transferkit.data.datasets import ReadableImages, read_into_memory, resized_images, stream_images
from transferkit.data.decoder import Decoder
from transferkit.data.inputs.convert import as_source
from transferkit.data.quality.inspection import inspect_in_steps, refuse_unreadable
from transferkit.data.resizing import ImageFormat
from transferkit.exceptions import ImageReadError

THUMBNAIL = 160  # pixels along the longer side


@dataclass(frozen=True)
class ImageReader:
    """Reads images for one classifier, so that training and prediction see the same.

    Attributes:
        image_format: The `ImageFormat` that all images are brought into.

    Example:
        >>> import numpy as np
        >>> reader = ImageReader(ImageFormat((8, 8)))
        >>> source = reader.source(np.zeros((3, 20, 24, 3), "uint8"))
        >>> [batch.shape for batch in reader.stream(source, batch_size=2)]
        [(2, 20, 24, 3), (1, 20, 24, 3)]
    """

    image_format: ImageFormat

    def source(self, x, y=None, **options):
        """Turns whatever holds images into a `Source`. For arguments and errors see `as_source`."""
        return as_source(x, y, decoder=self._checking_decoder, **options)

    def inspect(self, source, **wanted):
        """Looks at every image once and shows the progress. Returns an `Inspection`; see `inspect_images`."""
        return inspect_in_steps(source, self._checking_decoder, **wanted)

    def read(self, image):
        """Decodes one image at its own size; see `Decoder.decode`."""
        return self.image_format.decoder.decode(image)

    def stream(self, source, batch_size):
        """Yields the images of a source in order, in batches; see `stream_images`."""
        return stream_images(source, self.image_format, batch_size)

    def stream_readable(self, source, batch_size, is_known=None):
        """Streams the images of a source that can be read and collects what is wrong with the others.

        Returns:
            `ReadableImages`: pairs of indices and pixels to go through, and their `failures` afterwards.
        """
        return ReadableImages(source, self.image_format, batch_size, is_known)

    def resized(self, source):
        """Reads all images of a source, which are few, and resizes them; see `resized_images`."""
        return resized_images(source, self.image_format)

    def thumbnails(self, source, rows, size=THUMBNAIL):
        """Reads some images of a source for people to look at.

        Args:
            source: A `Source`.
            rows: Indices of the images.
            size: Most pixels along the longer side of each; smaller images stay as they are.

        Returns:
            List of uint8 arrays `(height, width, 3)`; channels that are not RGB become gray.
        """
        return [_thumbnail(self._checking_decoder.decode(source.images[int(row)]), size) for row in rows]

    def load(self, source, batch_size, **options):
        """Reads all images of a source into memory, resized; see `read_into_memory`."""
        return read_into_memory(source, self.image_format, batch_size, **options)

    def keep_readable(self, source, on_bad_image):
        """Checks that every image of a source can be read.

        Args:
            source: A `Source`.
            on_bad_image: `"raise"`, or `"skip"` to go on without the unreadable ones.

        Returns:
            The source, without its unreadable images.

        Raises:
            ImageReadError: With all unreadable images, for `"raise"` or if none is left.
        """
        if source.is_uniform:  # it was looked at when the source was made
            return source
        inspection = self.inspect(source, has_prints=False)
        refuse_unreadable(inspection.failures, len(source), on_bad_image)
        return source.take(inspection.readable) if inspection.failures else source

    def without_broken(self, work, sources, on_bad_image):
        """Does what takes long with images that were checked, even if some of them break or vanish meanwhile.

        Args:
            work: Function of the sources. It raises `ImageReadError` where an image cannot be read any more.
            sources: Sequence of `Source` or `None`.
            on_bad_image: `"raise"`, or `"skip"` to begin again without the images that broke.

        Returns:
            What `work` returns.

        Raises:
            ImageReadError: With all images that are broken by then, for `"raise"` or if none is left.
        """
        while True:
            try:
                return work(*sources)
            except ImageReadError as error:
                kept = [self._unbroken(source, error, on_bad_image) for source in sources]
                if all(rows is None for rows in kept):  # nobody can tell which it was
                    raise
            console.note("They broke after they had been checked. Starting again without them.")
            sources = [
                source if rows is None else source.take(rows) for source, rows in zip(sources, kept, strict=True)
            ]

    def _unbroken(self, source, error, on_bad_image):
        """Looks at images again after an error. Returns indices of those that can be read; `None`: all of them."""
        if source is None or source.is_uniform:
            return None
        inspection = self.inspect(source, has_prints=False)
        failures = {index: (index, name, reason) for index, name, reason in inspection.failures}
        reasons = {name: reason for _, name, reason in error.failures}
        for index, path in enumerate(source.paths):
            if path in reasons:  # perhaps it can be read again, for the moment
                failures.setdefault(index, (index, path, reasons[path]))
        if not failures:
            return None
        inspection = replace(inspection, failures=tuple(failures[index] for index in sorted(failures)))
        refuse_unreadable(inspection.failures, len(source), on_bad_image)
        return inspection.readable

    @property
    def _checking_decoder(self):
        # Images are compared with each other as they would look on white, whatever stands behind them in training.
        return Decoder(self.image_format.channels)


def _thumbnail(pixels, size):
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype("uint8"))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
