"""A decoded picture as its untouched planes, and the only two ways pixels are ever taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamer.pixels.colour import Colour, ColourSpace, convert
from streamer.pixels.geometry import UPRIGHT, Affine, Orientation, compose
from streamer.pixels.layouts import Pixels
from streamer.pixels.sampling import Border, Interpolation, Plane, sample, shrink

_RGB = ColourSpace("rgb")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of `width` x `height` display pixels: upright, with square pixels.

    `planes` are views on the decoder's own buffers (which they keep alive); nothing is converted before it is
    asked for and nothing is ever converted at full size. Turning, non-square pixels and fields are part of the maps.
    Read-only and safe to share between threads.

    Coordinates are continuous: the upper left corner is (0, 0), the centre of the first pixel (0.5, 0.5). So a
    point of the letterboxed picture divided by its scale is a point of the display.
    """

    width: int
    height: int
    planes: tuple[Plane, ...] = field(repr=False, default=())
    space: ColourSpace = _RGB
    coded_wh: tuple[int, int] = (0, 0)
    orientation: Orientation = UPRIGHT

    @staticmethod
    def from_array(image: NDArray[np.uint8], colour: Colour = "rgb") -> Picture:
        """A picture over an (h,w,3) array, without copying it. The array must not be written to afterwards."""
        height, width = image.shape[:2]
        takes = ((0, 0), (1, 1), (2, 2)) if colour == "rgb" else ((2, 0), (1, 1), (0, 2))
        return Picture(width, height, (Plane(image, takes),), _RGB, (width, height))

    def letterbox(self, width: int, height: int, colour: Colour) -> tuple[NDArray[np.uint8], float]:
        """The whole picture scaled to fit (height,width,3), at the upper left, the rest black; and the scale.

        The scale is small pixels per display pixel, the same for x and y (above 1 when a small picture is
        enlarged). Chroma is taken as centred on its luma here, which is off by at most half a coded pixel. The
        result is a new C-contiguous array.
        """
        scale = min(width / self.width, height / self.height)
        small_w = min(width, max(1, round(self.width * scale)))
        small_h = min(height, max(1, round(self.height * scale)))
        out = np.zeros((height, width, 3), np.uint8)
        box = out[:small_h, :small_w]
        turned = self.orientation
        x_rounded, y_rounded = abs(small_w - self.width * scale), abs(small_h - self.height * scale)
        if (turned.flip_x and x_rounded > 1e-6) or (turned.flip_y and y_rounded > 1e-6):
            # Mirroring a width that was rounded would move the picture by what was rounded away.
            to_small = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
            box[:] = self.warp(to_small, small_w, small_h, colour, "area", "replicate")
            return out, scale
        plain_w, plain_h = turned.turned_wh(small_w, small_h)
        x_scale, y_scale = (scale * factor for factor in self._pixel_scale())
        shown = [shrink(p.pixels, plain_w, plain_h, x_scale * p.x_step, y_scale * p.y_step) for p in self.planes]
        if turned == UPRIGHT:
            convert(self._components(shown), self.space, colour, box)
            return out, scale
        plain = np.empty((plain_h, plain_w, 3), np.uint8)
        convert(self._components(shown), self.space, colour, plain)
        _turn(plain, turned, box)
        return out, scale

    def warp(
        self,
        display_to_crop: Affine,
        width: int,
        height: int,
        colour: Colour,
        interpolation: Interpolation = "linear",
        border: Border = "constant",
    ) -> NDArray[np.uint8]:
        """(height,width,3) sampled through the affine map (2,3) from display pixels to crop pixels (continuous).

        Each plane is sampled once, straight from its own buffer, through the composed map. `area` averages where
        the crop is much smaller than what it shows. Outside of the picture: black, or its nearest pixel
        (`replicate`).
        """
        turned = self.orientation.affine(self.width, self.height, *self._pixel_scale())
        coded_to_crop = compose(np.asarray(display_to_crop, np.float64), turned)
        black = self.space.black()
        shown = []
        for plane in self.planes:
            fill = [0.0] * (plane.pixels.shape[2] if plane.pixels.ndim == 3 else 1)
            for channel, component in plane.takes:
                fill[channel] = float(black[component])
            to_crop = compose(coded_to_crop, plane.to_coded())
            shown.append(sample(plane.pixels, to_crop, width, height, interpolation, border, tuple(fill)))
        out = np.empty((height, width, 3), np.uint8)
        convert(self._components(shown), self.space, colour, out)
        return out

    def _pixel_scale(self) -> tuple[float, float]:
        """Display pixels per coded pixel, along the coded axes: not 1 when pixels are not square."""
        plain_w, plain_h = self.orientation.turned_wh(self.width, self.height)
        return plain_w / self.coded_wh[0], plain_h / self.coded_wh[1]

    def _components(self, shown: list[Pixels]) -> list[Pixels]:
        """The (h,w) components, in order, out of what was sampled from each plane."""
        found: dict[int, Pixels] = {}
        for plane, pixels in zip(self.planes, shown, strict=True):
            channels = (pixels,) if pixels.ndim == 2 else cast(Sequence[Pixels], cv2.split(pixels))
            for channel, component in plane.takes:
                found[component] = channels[channel]
        return [found[component] for component in sorted(found)]


def _turn(plain: NDArray[np.uint8], orientation: Orientation, out: NDArray[np.uint8]) -> None:
    source = cv2.transpose(plain) if orientation.transpose else plain
    if orientation.flip_x or orientation.flip_y:
        both = orientation.flip_x and orientation.flip_y
        cv2.flip(source, -1 if both else int(orientation.flip_x), dst=out)
    else:
        out[:] = source
