"""Inventory, series classification, frame times and conversion of DICOM."""
