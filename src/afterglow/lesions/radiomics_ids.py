"""Permanent identifiers of the features, as the IBSI assigns them."""

from __future__ import annotations

from functools import cache
from typing import Literal

Family = Literal["morph", "loc", "stat", "int_hist", "ivh", "texture"]
FAMILIES: tuple[Family, ...] = ("morph", "loc", "stat", "int_hist", "ivh", "texture")

IBSI_IDS = {
    "morph_volume": "RNU0",
    "morph_approx_volume": "YEKZ",
    "morph_area": "C0JK",
    "morph_surface_volume_ratio": "2PR5",
    "morph_comp_1": "SKGS",
    "morph_comp_2": "BQWJ",
    "morph_sph_dispr": "KRCK",
    "morph_sphericity": "QCFX",
    "morph_asphericity": "25C7",
    "morph_centre_of_mass_shift": "KLMA",
    "morph_max_3d_diam": "L0JK",
    "morph_pca_major": "TDIC",
    "morph_pca_minor": "P9VJ",
    "morph_pca_least": "7J51",
    "morph_pca_elongation": "Q3CK",
    "morph_pca_flatness": "N17B",
    "morph_vol_dens_aabb": "PBX1",
    "morph_area_dens_aabb": "R59B",
    "morph_vol_dens_aee": "6BDE",
    "morph_area_dens_aee": "RDD2",
    "morph_vol_dens_conv_hull": "R3ER",
    "morph_area_dens_conv_hull": "7T7F",
    "morph_integrated_intensity": "99N0",
    "morph_moran_i": "N365",
    "morph_geary_c": "NPT7",
    "loc_int_local_peak": "VJGA",
    "loc_int_global_peak": "0F91",
    "stat_mean": "Q4LE",
    "stat_variance": "ECT3",
    "stat_skewness": "KE2A",
    "stat_kurtosis": "IPH6",
    "stat_median": "Y12H",
    "stat_minimum": "1GSF",
    "stat_p10": "QG58",
    "stat_p90": "8DWT",
    "stat_maximum": "84IY",
    "stat_iqr": "SALO",
    "stat_range": "2OJQ",
    "stat_mean_absolute_dev": "4FUA",
    "stat_robust_mean_absolute_dev": "1128",
    "stat_median_absolute_dev": "N72L",
    "stat_coef_of_variation": "7TET",
    "stat_quartile_coef_dispersion": "9S40",
    "stat_energy": "N8CA",
    "stat_root_mean_square": "5ZWQ",
    "int_hist_mean": "X6K6",
    "int_hist_variance": "CH89",
    "int_hist_skewness": "88K1",
    "int_hist_kurtosis": "C3I7",
    "int_hist_median": "WIFQ",
    "int_hist_minimum": "1PR8",
    "int_hist_p10": "GPMT",
    "int_hist_p90": "OZ0C",
    "int_hist_maximum": "3NCY",
    "int_hist_mode": "AMMC",
    "int_hist_iqr": "WR0O",
    "int_hist_range": "5Z3W",
    "int_hist_mean_absolute_dev": "D2ZX",
    "int_hist_robust_mean_absolute_dev": "WRZB",
    "int_hist_median_absolute_dev": "4RNL",
    "int_hist_coef_of_variation": "CWYJ",
    "int_hist_quartile_coef_dispersion": "SLWD",
    "int_hist_entropy": "TLU2",
    "int_hist_uniformity": "BJ5W",
    "int_hist_max_gradient": "12CE",
    "int_hist_max_gradient_intensity": "8E6O",
    "int_hist_min_gradient": "VQB3",
    "int_hist_min_gradient_intensity": "RHQZ",
    "ivh_volume_at_intensity": "BC2M",
    "ivh_intensity_at_volume": "GBPN",
    "ivh_volume_at_intensity_difference": "DDTU",
    "ivh_intensity_at_volume_difference": "CNV2",
    "cm_joint_maximum": "GYBY",
    "cm_joint_average": "60VM",
    "cm_joint_variance": "UR99",
    "cm_joint_entropy": "TU9B",
    "cm_difference_average": "TF7R",
    "cm_difference_variance": "D3YU",
    "cm_difference_entropy": "NTRS",
    "cm_sum_average": "ZGXS",
    "cm_sum_variance": "OEEB",
    "cm_sum_entropy": "P6QZ",
    "cm_uniformity": "8ZQL",
    "cm_contrast": "ACUI",
    "cm_dissimilarity": "8S9J",
    "cm_inverse_difference": "IB1Z",
    "cm_inverse_difference_normalised": "NDRX",
    "cm_inverse_difference_moment": "WF0Z",
    "cm_inverse_difference_moment_normalised": "1QCO",
    "cm_inverse_variance": "E8JP",
    "cm_correlation": "NI2N",
    "cm_autocorrelation": "QWB0",
    "cm_cluster_tendency": "DG8W",
    "cm_cluster_shade": "7NFM",
    "cm_cluster_prominence": "AE86",
    "cm_information_corr_1": "R8DG",
    "cm_information_corr_2": "JN9H",
    "rlm_short_runs_emphasis": "22OV",
    "rlm_long_runs_emphasis": "W4KF",
    "rlm_low_grey_level_run_emphasis": "V3SW",
    "rlm_high_grey_level_run_emphasis": "G3QZ",
    "rlm_short_run_low_grey_level_emphasis": "HTZT",
    "rlm_short_run_high_grey_level_emphasis": "GD3A",
    "rlm_long_run_low_grey_level_emphasis": "IVPO",
    "rlm_long_run_high_grey_level_emphasis": "3KUM",
    "rlm_grey_level_non_uniformity": "R5YN",
    "rlm_grey_level_non_uniformity_normalised": "OVBL",
    "rlm_run_length_non_uniformity": "W92Y",
    "rlm_run_length_non_uniformity_normalised": "IC23",
    "rlm_run_percentage": "9ZK5",
    "rlm_grey_level_variance": "8CE5",
    "rlm_run_length_variance": "SXLW",
    "rlm_run_entropy": "HJ9O",
    "szm_large_zone_emphasis": "48P8",
    "szm_low_grey_level_zone_emphasis": "XMSY",
    "szm_high_grey_level_zone_emphasis": "5GN9",
    "szm_small_zone_low_grey_level_emphasis": "5RAI",
    "szm_small_zone_high_grey_level_emphasis": "HW1V",
    "szm_large_zone_low_grey_level_emphasis": "YH51",
    "szm_large_zone_high_grey_level_emphasis": "J17V",
    "szm_grey_level_non_uniformity": "JNSA",
    "szm_grey_level_non_uniformity_normalised": "Y1RO",
    "szm_zone_size_non_uniformity": "4JP3",
    "szm_zone_size_non_uniformity_normalised": "VB3A",
    "szm_zone_percentage": "P30P",
    "szm_grey_level_variance": "BYLV",
    "szm_zone_size_variance": "3NSA",
    "szm_zone_size_entropy": "GU8N",
    "dzm_small_distance_emphasis": "0GBI",
    "dzm_large_distance_emphasis": "MB4I",
    "dzm_low_grey_level_zone_emphasis": "S1RA",
    "dzm_high_grey_level_zone_emphasis": "K26C",
    "dzm_small_distance_low_grey_level_emphasis": "RUVG",
    "dzm_small_distance_high_grey_level_emphasis": "DKNJ",
    "dzm_large_distance_low_grey_level_emphasis": "A7WM",
    "dzm_large_distance_high_grey_level_emphasis": "KLTH",
    "dzm_grey_level_non_uniformity": "VFT7",
    "dzm_grey_level_non_uniformity_normalised": "7HP3",
    "dzm_zone_distance_non_uniformity": "V294",
    "dzm_zone_distance_non_uniformity_normalised": "IATH",
    "dzm_zone_percentage": "VIWW",
    "dzm_grey_level_variance": "QK93",
    "dzm_zone_distance_variance": "7WT1",
    "dzm_zone_distance_entropy": "GBDU",
    "ngtdm_coarseness": "QCDE",
    "ngtdm_contrast": "65HE",
    "ngtdm_busyness": "NQ30",
    "ngtdm_complexity": "HDEZ",
    "ngtdm_strength": "1X9X",
    "ngldm_low_dependence_emphasis": "SODN",
    "ngldm_high_dependence_emphasis": "IMOQ",
    "ngldm_low_grey_level_count_emphasis": "TL9H",
    "ngldm_high_grey_level_count_emphasis": "OAE7",
    "ngldm_low_dependence_low_grey_level_emphasis": "EQ3F",
    "ngldm_low_dependence_high_grey_level_emphasis": "JA6D",
    "ngldm_high_dependence_low_grey_level_emphasis": "NBZI",
    "ngldm_high_dependence_high_grey_level_emphasis": "9QMG",
    "ngldm_grey_level_non_uniformity": "FP8K",
    "ngldm_grey_level_non_uniformity_normalised": "5SPA",
    "ngldm_dependence_count_non_uniformity": "Z87G",
    "ngldm_normalised_dependence_count_non_uniformity": "OKJI",
    "ngldm_dependence_count_percentage": "6XV8",
    "ngldm_grey_level_variance": "1PFV",
    "ngldm_dependence_count_variance": "DNX2",
    "ngldm_dependence_count_entropy": "FCBV",
    "ngldm_dependence_count_energy": "CAS9",
    "szm_small_zone_emphasis": "5QRC",
}


def ibsi_id(name: str) -> str:
    """Return the permanent id of a feature by its name, empty where it has none.

    Examples
    --------
    >>> ibsi_id("cm_contrast_merged"), ibsi_id("ivh_volume_at_intensity_10")
    ('ACUI', 'BC2M')
    """
    for suffix in ("_averaged", "_merged", "_10", "_90"):
        if name.removesuffix(suffix) in IBSI_IDS:
            return IBSI_IDS[name.removesuffix(suffix)]
    return IBSI_IDS.get(name, "")


_PREFIXES: dict[str, Family] = {
    "morph_": "morph",
    "loc_int_": "loc",
    "stat_": "stat",
    "int_hist_": "int_hist",
    "ivh_": "ivh",
}
_DIRECTED = ("cm_", "rlm_")


def family_of(name: str) -> Family:
    """Return the family of a feature.

    Examples
    --------
    >>> family_of("ivh_volume_at_intensity_10"), family_of("szm_zone_percentage")
    ('ivh', 'texture')
    """
    for prefix, family in _PREFIXES.items():
        if name.startswith(prefix):
            return family
    return "texture"


@cache
def names_of(family: Family) -> tuple[str, ...]:
    """Return the names of all features of a family.

    Examples
    --------
    >>> names_of("loc")
    ('loc_int_local_peak', 'loc_int_global_peak')
    """
    found: list[str] = []
    for name in IBSI_IDS:
        if family_of(name) != family:
            continue
        if name.startswith(_DIRECTED):
            found += [f"{name}_averaged", f"{name}_merged"]
        elif family == "ivh" and not name.endswith("difference"):
            found += [f"{name}_10", f"{name}_90"]
        else:
            found.append(name)
    return tuple(found)
