"""Afterglow: from raw DICOM to audited tables for brain metastases after radiosurgery."""

__version__ = "0.1.0"
