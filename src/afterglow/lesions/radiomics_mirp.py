"""Radiomics by the package MIRP (Zwanenburg 2024) under the names of our own core.

MIRP is an independent implementation of the IBSI; it is no dependency and is used where a study
asks for it and it is installed (`pip install afterglow[mirp]`).
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afterglow.bids.images import save_nifti
from afterglow.errors import AfterglowError
from afterglow.lesions.radiomics import Radiomics, RadiomicsSettings, check, unfit
from afterglow.lesions.radiomics_ids import Family, names_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Families of MIRP for each of ours.
_ASKED: dict[Family, list[str]] = {
    "morph": ["morph"],
    "loc": ["loc_int"],
    "stat": ["stat"],
    "int_hist": ["ih"],
    "ivh": ["ivh"],
    "texture": ["cm", "rlm", "szm", "dzm", "ngtdm", "ngldm"],
}
# Beginnings of MIRP's column names, in the order of ``names_of``.
_STEMS: dict[Family, str] = {
    "morph": "morph_volume morph_vol_approx morph_area_mesh morph_av morph_comp_1 morph_comp_2"
    " morph_sph_dispr morph_sphericity morph_asphericity morph_com morph_diam morph_pca_maj_axis"
    " morph_pca_min_axis morph_pca_least_axis morph_pca_elongation morph_pca_flatness"
    " morph_vol_dens_aabb morph_area_dens_aabb morph_vol_dens_aee morph_area_dens_aee"
    " morph_vol_dens_conv_hull morph_area_dens_conv_hull morph_integ_int morph_moran_i"
    " morph_geary_c",
    "loc": "loc_peak_loc loc_peak_glob",
    "stat": "stat_mean stat_var stat_skew stat_kurt stat_median stat_min stat_p10 stat_p90 stat_max"
    " stat_iqr stat_range stat_mad stat_rmad stat_medad stat_cov stat_qcod stat_energy stat_rms",
    "int_hist": "ih_mean ih_var ih_skew ih_kurt ih_median ih_min ih_p10 ih_p90 ih_max ih_mode"
    " ih_iqr ih_range ih_mad ih_rmad ih_medad ih_cov ih_qcod ih_entropy ih_uniformity ih_max_grad"
    " ih_max_grad_g ih_min_grad ih_min_grad_g",
    "ivh": "ivh_v10 ivh_v90 ivh_i10 ivh_i90 ivh_diff_v10_v90 ivh_diff_i10_i90",
    "texture": "cm_joint_max cm_joint_avg cm_joint_var cm_joint_entr cm_diff_avg cm_diff_var"
    " cm_diff_entr cm_sum_avg cm_sum_var cm_sum_entr cm_energy cm_contrast cm_dissimilarity"
    " cm_inv_diff cm_inv_diff_norm cm_inv_diff_mom cm_inv_diff_mom_norm cm_inv_var cm_corr"
    " cm_auto_corr cm_clust_tend cm_clust_shade cm_clust_prom cm_info_corr1 cm_info_corr2"
    " rlm_sre rlm_lre rlm_lgre rlm_hgre rlm_srlge rlm_srhge rlm_lrlge rlm_lrhge rlm_glnu"
    " rlm_glnu_norm rlm_rlnu rlm_rlnu_norm rlm_r_perc rlm_gl_var rlm_rl_var rlm_rl_entr"
    " szm_lze szm_lgze szm_hgze szm_szlge szm_szhge szm_lzlge szm_lzhge szm_glnu szm_glnu_norm"
    " szm_zsnu szm_zsnu_norm szm_z_perc szm_gl_var szm_zs_var szm_zs_entr"
    " dzm_sde dzm_lde dzm_lgze dzm_hgze dzm_sdlge dzm_sdhge dzm_ldlge dzm_ldhge dzm_glnu"
    " dzm_glnu_norm dzm_zdnu dzm_zdnu_norm dzm_z_perc dzm_gl_var dzm_zd_var dzm_zd_entr"
    " ngt_coarseness ngt_contrast ngt_busyness ngt_complexity ngt_strength"
    " ngl_lde ngl_hde ngl_lgce ngl_hgce ngl_ldlge ngl_ldhge ngl_hdlge ngl_hdhge ngl_glnu"
    " ngl_glnu_norm ngl_dcnu ngl_dcnu_norm ngl_dc_perc ngl_gl_var ngl_dc_var ngl_dc_entr"
    " ngl_dc_energy szm_sze",
}
_WAYS = {"_averaged": "3d_avg", "_merged": "3d_v_mrg"}
_RESTS = ("_d1_", "_3d", "_fbs", "_fbn")


def extract(
    image: NDArray[np.generic],
    mask: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    settings: RadiomicsSettings | None = None,
) -> Radiomics:
    """Return the radiomics of one region, as ``radiomics.extract`` does, computed by MIRP.

    Parameters
    ----------
    image, mask : (x, y, z) arrays
        Image and region.
    spacing : (3,) array
        Voxel size, mm.
    settings : RadiomicsSettings, optional
        Settings.

    Raises
    ------
    NotEvaluable
        Empty region, too few voxels, or values in it that are not finite.
    AfterglowError
        MIRP is not installed.
    """
    settings = settings or RadiomicsSettings()
    check(image, mask, settings)
    left_out: dict[str, str] = {
        f: why for f in settings.families if (why := unfit(mask, f, settings))
    }
    families = [f for f in settings.families if f not in left_out]
    if not families:
        return Radiomics({}, left_out)
    columns = _columns(image, mask, spacing, families, settings)
    found: dict[str, float] = {}
    for family in families:
        found |= _named(family, columns)
    return Radiomics(found, left_out)


def _columns(
    image: NDArray[np.generic],
    mask: NDArray[np.bool_],
    spacing: NDArray[np.float64],
    families: list[Family],
    settings: RadiomicsSettings,
) -> dict[str, float]:
    """Return what MIRP gives, by its own names."""
    run = _mirp()
    values = np.where(np.isfinite(image), image, 0).astype(np.float64)
    bins: dict[str, Any] = {
        "base_discretisation_method": "fixed_bin_number",
        "base_discretisation_n_bins": settings.bins,
        "ivh_discretisation_method": "fixed_bin_number",
        "ivh_discretisation_n_bins": settings.bins,
    }
    if settings.bin_width is not None:
        bins = {
            "base_discretisation_method": "fixed_bin_size",
            "base_discretisation_bin_width": settings.bin_width,
            "ivh_discretisation_method": "fixed_bin_size",
            "ivh_discretisation_bin_width": settings.bin_width,
            "resegmentation_intensity_range": [settings.lowest, float("nan")],
        }
    three = {f"{name}_spatial_method": "3d" for name in ("glszm", "gldzm", "ngtdm", "ngldm")}
    ways = ["3d_average", "3d_volume_merge"]
    both = {f"{name}_spatial_method": ways for name in ("glcm", "glrlm")}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("image.nii.gz", "mask.nii.gz")]
        affine = np.diag([*spacing, 1.0])
        save_nifti(values, affine, paths[0], dtype=np.float64)
        save_nifti(mask, affine, paths[1])
        asked = [name for family in families for name in _ASKED[family]]
        table = run(
            image=str(paths[0]),
            mask=str(paths[1]),
            base_feature_families=asked,
            no_approximation=True,
            **bins,
            **three,
            **both,
        )[0]
    row = table.iloc[0]
    return {str(name): value for name, value in row.items()}


def _mirp() -> Any:
    try:
        from mirp import extract_features
    except ImportError as error:
        raise AfterglowError(
            "radiomics are to be computed by MIRP, which is not installed",
            where="features.radiomics.engine",
            remedy="install afterglow[mirp], or set the engine to `own`",
        ) from error
    logging.getLogger().setLevel(logging.WARNING)
    return extract_features


def _named(family: Family, columns: dict[str, float]) -> dict[str, float]:
    """Return the features of one family by our names."""
    stems = _STEMS[family].split()
    bare = list(dict.fromkeys(_bare(name) for name in names_of(family)))
    if family == "ivh":
        bare = list(names_of(family))
    known = dict(zip(bare, stems, strict=True))
    found = {}
    for name in names_of(family):
        stem = known[name if family == "ivh" else _bare(name)]
        way = next((w for suffix, w in _WAYS.items() if name.endswith(suffix)), "")
        value = _column(columns, stem, way)
        if value is not None:
            found[name] = value
    return found


def _bare(name: str) -> str:
    for suffix in _WAYS:
        name = name.removesuffix(suffix)
    return name


def _column(columns: dict[str, float], stem: str, way: str) -> float | None:
    """Return a column by its beginning: what follows names distance, way and discretisation."""
    for name, value in columns.items():
        rest = name.removeprefix(stem)
        if rest == name or not (rest == "" or rest.startswith(_RESTS)):
            continue
        if way in name:
            return float(value)
    return None
