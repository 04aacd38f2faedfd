"""Perfusion MRI on arrays: signal, T1, AIF, DCE and DSC."""
