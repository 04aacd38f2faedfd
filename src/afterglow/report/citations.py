"""What the methods paragraph cites."""

from __future__ import annotations

from collections.abc import Iterable

CITATIONS = {
    "snakemake": "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research"
    " 2021;10:33. doi:10.12688/f1000research.29032.2",
    "dcm2niix": "Li X, et al. The first step for neuroimaging data analysis: DICOM to NIfTI"
    " conversion. J Neurosci Methods 2016;264:47-56. doi:10.1016/j.jneumeth.2016.03.001",
    "bids": "Gorgolewski KJ, et al. The brain imaging data structure. Sci Data 2016;3:160044."
    " doi:10.1038/sdata.2016.44",
    "n4": "Tustison NJ, et al. N4ITK: improved N3 bias correction. IEEE Trans Med Imaging"
    " 2010;29:1310-1320. doi:10.1109/TMI.2010.2046908",
    "ants": "Avants BB, et al. A reproducible evaluation of ANTs similarity metric performance in"
    " brain image registration. NeuroImage 2011;54:2033-2044."
    " doi:10.1016/j.neuroimage.2010.09.025",
    "bet": "Smith SM. Fast robust automated brain extraction. Hum Brain Mapp 2002;17:143-155."
    " doi:10.1002/hbm.10062",
    "bsw": "Boxerman JL, Schmainda KM, Weisskoff RM. Relative cerebral blood volume maps corrected"
    " for contrast agent extravasation significantly correlate with glioma tumor grade, whereas"
    " uncorrected maps do not. AJNR Am J Neuroradiol 2006;27:859-867",
    "bidirectional": "Leu K, et al. Bidirectional contrast agent leakage correction of dynamic"
    " susceptibility contrast MRI improves cerebral blood volume estimation and survival"
    " prediction in recurrent glioblastoma treated with bevacizumab. J Magn Reson Imaging"
    " 2016;44:1229-1237. doi:10.1002/jmri.25227",
    "osvd": "Wu O, et al. Tracer arrival timing-insensitive technique for estimating flow in MR"
    " perfusion-weighted imaging using singular value decomposition with a block-circulant"
    " deconvolution matrix. Magn Reson Med 2003;50:164-174. doi:10.1002/mrm.10522",
    "vfa": "Deoni SCL, Rutt BK, Peters TM. Rapid combined T1 and T2 mapping using gradient"
    " recalled acquisition in the steady state. Magn Reson Med 2003;49:515-526."
    " doi:10.1002/mrm.10407",
    "tofts": "Tofts PS, et al. Estimating kinetic parameters from dynamic contrast-enhanced"
    " T1-weighted MRI of a diffusable tracer. J Magn Reson Imaging 1999;10:223-232",
    "parker": "Parker GJM, et al. Experimentally-derived functional form for a population-averaged"
    " high-temporal-resolution arterial input function. Magn Reson Med 2006;56:993-1000."
    " doi:10.1002/mrm.21066",
    "rano_bm": "Lin NU, et al. Response assessment criteria for brain metastases: proposal from the"
    " RANO group. Lancet Oncol 2015;16:e270-e278. doi:10.1016/S1470-2045(15)70057-4",
}


class References:
    """The works that a text cites, numbered in order of their first mention.

    Examples
    --------
    >>> references = References()
    >>> references("bet"), references("n4"), references("bet")
    ('[1]', '[2]', '[1]')
    >>> references.listed()[0].startswith("1. Smith SM.")
    True
    """

    def __init__(self) -> None:
        self._order: list[str] = []

    def __call__(self, *names: str) -> str:
        """Return the numbers of works, such as ``[1, 2]``."""
        for name in names:
            if name not in self._order:
                self._order.append(name)
        return "[" + ", ".join(str(self._order.index(n) + 1) for n in _unique(names)) + "]"

    def listed(self) -> list[str]:
        """Return the numbered works."""
        return [f"{i}. {CITATIONS[name]}" for i, name in enumerate(self._order, start=1)]


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
