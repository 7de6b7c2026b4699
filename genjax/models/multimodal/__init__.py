"""Models of text and pictures."""

from genjax.models.multimodal.crossmodal import CrossModal
from genjax.models.multimodal.dalle import DALLE
from genjax.models.multimodal.dalle_options import DALLEOptions
from genjax.models.multimodal.maskgit import MaskGIT, MaskGITOptions
from genjax.models.multimodal.multiview import Multiview
from genjax.models.multimodal.text2image import Text2Image, Text2ImageOptions

__all__ = [
    "DALLE",
    "CrossModal",
    "DALLEOptions",
    "MaskGIT",
    "MaskGITOptions",
    "Multiview",
    "Text2Image",
    "Text2ImageOptions",
]
