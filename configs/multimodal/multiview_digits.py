"""One latent for three views of a digit: handwritten, printed, and its name in letters.

    genjax train multiview_digits
    genjax sample runs/multiview_digits --given word --sample handwritten printed
    genjax sample runs/multiview_digits --given handwritten --sample word printed
    genjax sample runs/multiview_digits                          (all three, from nothing)

`--model.posterior poe`, `moe` or `mopoe` joins what the views say by a product (MVAE), a mixture (MMVAE) or a mixture
of products (MoPoE).

Time and result: 1 min 11 s of CPU time (1 min 36 s beside many other programs, timed with beta 1; 2 cores, AMD EPYC,
jax 0.10.2, 2026-11-26). Read by support vector machines that are right on 98.3% of real handwritten and 100% of printed
digits, one seed, 297 validation examples, and 1,000 samples from nothing that are coherent where all three views say
one digit (w writing, p print):

    posterior, beta   p given w   word given w   w given word   w given p   coherent from nothing
    mopoe, 5 (this)     97.0%        93.6%          99.0%         97.3%           37.4%
    mopoe, 1            97.3%        94.3%         100%          100%             22.3%
    moe, 1              97.0%        96.3%          99.7%        100%             21.6%
    poe, 1              73.4%        69.4%          86.5%         83.2%           12.8%

Given a view the others are recognized at a glance, handwriting as the blurred mean of its digit. From nothing more than
half of the samples mix digits: the known weakness of these models.
"""

from genjax.experiment import Data, Eval, Experiment, Optim, Train
from genjax.models import DenseAutoencoder, Multiview

experiment = Experiment(
    model=Multiview(latent=16, network=DenseAutoencoder((256, 128)), widths=(128,), beta=5.0),
    data=Data(
        source="printed_digits",
        fields=("handwritten=handwritten", "printed=printed", "word=word"),
        tokenizer="char",
        context=6,
        batch_size=64,
    ),
    optim=Optim(learning_rate=1e-3, schedule="cosine", warmup_steps=50, clip_norm=1000.0),
    train=Train(steps=2000, eval_every=500, sample_every=1000, checkpoint_every=500),
    eval=Eval(grid=40),
)
