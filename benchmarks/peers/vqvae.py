"""A VQ-VAE on 32 x 32 colour pictures, against diffusers' encoder and decoder around vector-quantize-pytorch."""

from peers import sides
from peers.pairs import Pair

from genjax.experiment import Data, Experiment, Optim, Train
from genjax.models import VQVAE, SpatialAutoencoder, VectorQuantizer
from genjax.spec import DataSpec, Image

BATCH, SIDE, WIDTHS, CODES, LATENT = 32, 32, (32, 64), 512, 64
DEAD = 0.03  # share of the mean count


def pair(precision: str = "float32") -> Pair:
    """A step of training: the codebook by moving averages, dead codes put where examples are."""
    experiment = Experiment(
        model=VQVAE(network=SpatialAutoencoder(WIDTHS, 1), quantizer=VectorQuantizer(CODES, LATENT, restart=DEAD)),
        data=Data(batch_size=BATCH),
        optim=Optim(learning_rate=1e-3),
        train=Train(precision=precision),
    )
    ours = sides.training(experiment, DataSpec({"image": Image(SIDE, SIDE, 3)}))
    shapes = f"{SIDE}x{SIDE}x3, widths {WIDTHS}, 1 block a level, {CODES} codes, batch {BATCH}, {precision}"
    return Pair("vqvae", ours, theirs(precision), BATCH, "images", shapes, precision)


def theirs(precision: str):
    import torch
    from vector_quantize_pytorch import VectorQuantize

    device, levels, model = sides.torch_device(), len(WIDTHS), network(1)
    model.quantize = VectorQuantize(
        LATENT,
        CODES,
        decay=0.99,
        commitment_weight=0.25,
        threshold_ema_dead_code=DEAD * BATCH * (SIDE // 2 ** (levels - 1)) ** 2 / CODES,
        accept_image_fmap=True,
    )
    model = sides.placed(model)
    image = sides.placed(torch.rand(BATCH, 3, SIDE, SIDE) * 2 - 1)

    @torch.compile
    def loss(x):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            z = model.quant_conv(model.encoder(x))
            code, _, commitment = model.quantize(z.float())
            made = model.decoder(model.post_quant_conv(code)).float()
        return torch.nn.functional.mse_loss(made, x) + commitment.sum()

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    name = "diffusers, vector-quantize-pytorch, torch.compile"
    return sides.torch_training(name, [model], lambda: sides.learn(optimizer, loss(image)))


def network(codes: int):
    """diffusers' encoder and decoder of these sizes, around a codebook."""
    from diffusers import VQModel

    levels = len(WIDTHS)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=WIDTHS,
        latent_channels=LATENT,
        norm_num_groups=8,
        num_vq_embeddings=codes,
    )
