"""Models of text and pictures."""

from genjax.models.multimodal.dalle import DALLE
from genjax.models.multimodal.dalle_options import DALLEOptions
from genjax.models.multimodal.multiview import Multiview
from genjax.models.multimodal.text2image import Text2Image, Text2ImageOptions

__all__ = ["DALLE", "DALLEOptions", "Multiview", "Text2Image", "Text2ImageOptions"]
