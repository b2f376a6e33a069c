"""Training: one small loop that ascends any bound, resumes to the bit and leaves nothing half-written."""

from jensen.training.checkpoints import Checkpoint, CheckpointError, checkpoint_path, latest, load, load_weights
from jensen.training.collapse import BalancedKL, FreeBits
from jensen.training.constraints import Constrained, NegativeLogLikelihood, PixelError, ReconstructionError
from jensen.training.estimated import Estimated
from jensen.training.free_energy import FreeEnergy
from jensen.training.interruption import Interrupted
from jensen.training.loop import History, fit
from jensen.training.named_losses import NamedLosses
from jensen.training.nonfinite import NonFiniteError
from jensen.training.objectives import DoublyReparameterized, ImportanceWeighted, Renyi, Resampled, Variational
from jensen.training.optimizers import Adam
from jensen.training.perceptual import ClassificationError, FeatureError, PatchCorrelation
from jensen.training.records import EpochRecord, read_records
from jensen.training.schedules import BlundellWeights, Burda, Constant, Cosine, Linear, Product
from jensen.training.seeds import derived_seed, epoch_order, isolated
from jensen.training.settings import describe
from jensen.training.stepper import Stepper

__all__ = [
    "Adam",
    "BalancedKL",
    "BlundellWeights",
    "Burda",
    "Checkpoint",
    "CheckpointError",
    "ClassificationError",
    "Constant",
    "Constrained",
    "Cosine",
    "DoublyReparameterized",
    "EpochRecord",
    "Estimated",
    "FeatureError",
    "FreeBits",
    "FreeEnergy",
    "History",
    "ImportanceWeighted",
    "Interrupted",
    "Linear",
    "NamedLosses",
    "NegativeLogLikelihood",
    "NonFiniteError",
    "PatchCorrelation",
    "PixelError",
    "Product",
    "ReconstructionError",
    "Renyi",
    "Resampled",
    "Stepper",
    "Variational",
    "checkpoint_path",
    "derived_seed",
    "describe",
    "epoch_order",
    "fit",
    "isolated",
    "latest",
    "load",
    "load_weights",
    "read_records",
]
