"""The paper's networks in torch: backbones, STAT, LSTM, fusion, heads."""

from engines.models.affect import AffectModel, build_model
from engines.models.backbone import Backbone, BackboneOutput, build_backbone
from engines.models.config import BackboneConfig, FreezePolicy, LstmConfig, ModelConfig, load_model_config
from engines.models.head import AffectHead, HeadOutput, average_outputs, head_spec_of
from engines.models.paper import Flavour, paper_model
from engines.models.stat import blocks_of, rows_of, stat_of
from engines.models.weights import LoadReport, load_backbone_weights, sha256_of_weights

__all__ = [
    "AffectHead",
    "AffectModel",
    "Backbone",
    "BackboneConfig",
    "BackboneOutput",
    "Flavour",
    "FreezePolicy",
    "HeadOutput",
    "LoadReport",
    "LstmConfig",
    "ModelConfig",
    "average_outputs",
    "blocks_of",
    "build_backbone",
    "build_model",
    "head_spec_of",
    "load_backbone_weights",
    "load_model_config",
    "paper_model",
    "rows_of",
    "sha256_of_weights",
    "stat_of",
]
