"""NIfTI files whose bytes depend on nothing but the image."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_LEVEL = 1
_GZIP = 31
_STORED: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(bool): np.dtype(np.uint8),
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(np.int64): np.dtype(np.int32),
    np.dtype(np.uint64): np.dtype(np.uint32),
}


def save_nifti(
    array: NDArray[Any],
    affine: NDArray[np.floating[Any]],
    path: Path | str,
    *,
    dtype: DTypeLike | None = None,
    frame_time: float | None = None,
    packed: bool = False,
) -> None:
    """Write an image so that the same image always gives the same bytes.

    No modification time, file name or text enters the file.

    Parameters
    ----------
    array : ndarray, shape (x, y, z) or (x, y, z, n)
        Image values. Without ``dtype``, float64 is stored as float32, bool as uint8 and
        64-bit integers as 32-bit ones; everything else as it is.
    affine : ndarray, shape (4, 4)
        Voxel indices to world millimetres (RAS).
    path : Path or str
        Ends in ``.nii.gz`` (compressed) or ``.nii``.
    dtype : dtype-like, optional
        Type to store.
    frame_time : float, optional
        Time between volumes (s), written as ``pixdim[4]``; 0 where absent.
    packed : bool
        Store finite values as 16-bit integers with a scale factor over their range: half the size,
        and an error of at most 1/131070 of the range.
    """
    import nibabel as nib

    array = np.asarray(array)
    stored: np.dtype[Any] = (
        np.dtype(dtype) if dtype is not None else _STORED.get(array.dtype, array.dtype)
    )
    image = nib.Nifti1Image(array.astype(stored, copy=False), np.asarray(affine, dtype=np.float64))
    if packed:
        image.set_data_dtype(np.int16)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    if array.ndim > 3:
        zooms = (*image.header.get_zooms()[:3], frame_time or 0.0)
        image.header.set_zooms(zooms + (1.0,) * (array.ndim - 4))
    _write(image.to_bytes(), Path(path))


def _write(content: bytes, path: Path) -> None:
    """Write bytes, through gzip without name and time where the name says so."""
    if path.name.endswith(".gz"):
        # Noise has no repeats to look for: run lengths take half the time and 3 % more room.
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP, 9, zlib.Z_RLE)
        content = packer.compress(content) + packer.flush()
    path.write_bytes(content)


def load_nifti(path: Path | str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read an image and its affine.

    Returns
    -------
    tuple
        Values as float32 with the scale factors applied, and the (4, 4) affine to RAS
        millimetres.
    """
    import nibabel as nib

    image = nib.load(path)
    values = np.asarray(image.dataobj, dtype=np.float32)
    return values, np.asarray(image.affine, dtype=np.float64)
