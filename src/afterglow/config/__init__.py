"""The study file, validated."""

from afterglow.config.base import Section
from afterglow.config.center import CenterConfig
from afterglow.config.study import Study, load_study

__all__ = ["CenterConfig", "Section", "Study", "load_study"]
