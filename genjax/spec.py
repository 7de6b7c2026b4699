"""What a data set says of itself, so that models and data never import one another."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Shapes and vocabularies of a data set; the fields that do not apply are None.

    Attributes:
      image_shape: (H, W, C) of `batch["image"]`, float in [-1, 1].
      classes: number of classes of `batch["label"]`; None where examples have no label.
      class_names: their names, in the order of the labels.
      latent_shape: (h, w, Z) where `batch["latent"]` (h, w, 2 Z) takes the images' place: the mean and the log variance
        of each latent, as `genjax encode` made them; image_shape and classes are those of the images.
      latent_std: the standard deviation of the latents over the training split; its inverse is the scale factor of
        latent diffusion.
      vocabulary: number of token ids in use; ids are in [0, vocabulary).
      context: T, where `batch["tokens"]` is (B, T + 1): T inputs and, shifted by one, T targets.
      train_examples, validation_examples: sizes of the two splits (windows, for text).
    """

    image_shape: tuple[int, int, int] | None = None
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    latent_shape: tuple[int, int, int] | None = None
    latent_std: float | None = None
    vocabulary: int | None = None
    context: int | None = None
    train_examples: int = 0
    validation_examples: int = 0
