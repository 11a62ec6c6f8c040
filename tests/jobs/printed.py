"""The numbers of the papers' tables, row by row as printed; ``-`` where nothing is printed."""

from __future__ import annotations

Rows = dict[str, tuple[float | None, ...]]


def printed(job: str) -> list[Rows]:
    """Return the tables of a job: title of a row -> its numbers."""
    return [_rows(table) for table in _PRINTED[job]]


def jobs() -> set[str]:
    """Return the jobs."""
    return set(_PRINTED)


def _rows(table: str) -> Rows:
    rows: Rows = {}
    for line in table.strip().splitlines():
        title, colon, numbers = line.strip().rpartition(": ")
        title = title if colon else list(rows)[-1]  # a row goes on
        found = tuple(None if number == "-" else float(number) for number in numbers.split())
        rows[title] = (*rows.get(title, ()), *found)
    return rows


#: Job -> its tables, a line a row.
_PRINTED: dict[str, list[str]] = {
    "dfkd-figure-2": [],
    "dfkd-table-1": [
        """
        DeiT-Base to ShuffleNetV2-0.5x: 86 1.4 0.9693 0.1148 0.9693 0.9295 0.1975 0.9292 0.9415
          0.1758 0.9415 0.9115 0.3651 0.9117 0.9217 0.2126 0.9217
        Wide ResNet-50-2 to MobileNetV3-Small: 68.9 2.5 0.9762 0.0990 0.9762 0.9404 0.1734 0.9406
          0.8474 0.3478 0.8481 0.8705 0.3005 0.8698 0.9534 0.1571 0.9534
        DeiT-Base to ShuffleNetV2-1.0x: 86 2.3 0.9693 0.1148 0.9693 0.9564 0.2376 0.9564 0.9495
          0.1530 0.9494 0.9549 0.2248 0.9550 0.9607 0.1313 0.9607
        ConvNeXt-Tiny to MobileNetV3-Small: 28.1 2.5 0.9709 0.1628 0.9709 0.9404 0.1734 0.9406
          0.9411 0.1916 0.9409 0.8818 0.2777 0.8813 0.9736 0.1296 0.9736
        ResNet101 to GhostNet: 44.5 5.2 0.9790 0.0964 0.9790 0.9346 0.2331 0.9345 0.9746 0.0983
          0.9746 0.9604 0.1287 0.9604 0.9795 0.0924 0.9795
        ResNet152 to ShuffleNetV2-0.5x: 60.2 1.4 0.9744 0.1046 0.9745 0.9295 0.1975 0.9292 0.9265
          0.1969 0.9266 0.9090 0.3717 0.9089 0.9181 0.2216 0.9180
        ResNet101 to ShuffleNetV2-1.0x: 44.5 2.3 0.9790 0.0964 0.9790 0.9564 0.2376 0.9564 0.9526
          0.1474 0.9524 0.9440 0.2590 0.9440 0.9587 0.1363 0.9587
        ResNet152 to RegNetY-400MF: 60.2 4.3 0.9744 0.1046 0.9745 0.9612 0.1776 0.9612 0.9305
          0.1911 0.9300 0.9899 0.0351 0.9899 0.9780 0.1075 0.9780
        """,
    ],
    "hdkd-figure-5": [],
    "hdkd-table-1-2": [
        """
        Teacher model: 3.95 5.88
        Student model: 3.72 2.08
        """,
        """
        Student (w/o) distillation: 3.72 2.08
        HDKD: 3.73 2.09
        """,
    ],
    "hdkd-table-10": [
        """
        Teacher model, MBConv: 3.95 5.85 90.58 99.62
        Teacher model, MBCSA: 3.95 5.88 91.43 99.69
        Student (w/o) distill model, MBConv: 3.72 2.07 89.86 99.77
        Student (w/o) distill model, MBCSA: 3.72 2.08 89.86 99.77
        HDKD model, MBConv: 3.73 2.08 91.18 99.85
        HDKD model, MBCSA: 3.73 2.09 92.15 99.85
        """,
    ],
    "hdkd-table-11": [
        """
        MobileNetV3 model, MBConv: 4.2 0.23 90.46
        MobileNetV3 model, MBCSA: 4.2 0.23 91.30
        MobileViT model, MBConv: 5.0 2.0 89.73
        MobileViT model, MBCSA: 5.1 2.0 90.58
        CoAtNet model, MBConv: 26 4.21 90.22
        CoAtNet model, MBCSA: 26 4.22 90.22
        """,
    ],
    "hdkd-table-12": [
        """
        Teacher model, stride 2: 3.95 5.88 112.9 91.43 99.69
        Teacher model, stride 4: 3.95 1.47 51.5 90.58 99.69
        Teacher model, stride 8: 3.95 0.368 25.8 89.61 99.16
        Student (w/o) distill model, stride 2: 3.72 2.08 38.7 89.86 99.77
        Student (w/o) distill model, stride 4: 3.69 0.511 22.0 89.25 99.47
        Student (w/o) distill model, stride 8: 3.68 0.139 12.8 88.29 98.78
        HDKD model, stride 2: 3.73 2.09 39.8 92.15 99.85
        HDKD model, stride 4: 3.69 0.513 22.5 91.06 99.77
        HDKD model, stride 8: 3.68 0.141 13.9 89.73 99.31
        """,
    ],
    "hdkd-table-3": [
        """
        Student w/o distillation: 76.5 82.0 85.28 99.77
        HDKD: 92.9 95.12 96.95 99.85
        """,
    ],
    "hdkd-table-4": [
        """
        Student w/o distillation: 75.0 77.29 78.62 89.61
        HDKD: 79.71 81.4 82.85 92.15
        """,
    ],
    "hdkd-table-5": [
        """
        MobileNetV2: 2.2 0.32 90.70 99.62
        MobileNetV3-L: 4.2 0.23 90.46 99.77
        EfficientNetB0: 4.0 0.41 90.70 99.77
        RegNetY-4.0: 19.6 4.0 89.73 99.62
        Teacher model (ours): 3.95 5.88 91.43 99.69
        PVT-Tiny: 12.7 1.88 87.80 98.86
        Crossvit-Ti: 6.7 1.6 87.44 99.08
        CSKD-Tiny: 5.5 1.1 89.86 99.24
        MobileViT-S: 5.0 2.0 89.73 99.62
        PVTv2-B0: 3.4 0.54 88.89 99.08
        CoatNet-0: 26 4.21 90.22 99.85
        Student w/o distillation (ours): 3.7 2.08 89.86 99.77
        HDKD (ours): 3.7 2.09 92.15 99.85
        """,
    ],
    "hdkd-table-6": [
        """
        AKIEC: 66.7 54.5 68.8 52.2 26.1 47.8 97.5 95.6 96.5 23
        BCC: 69.0 72.7 63.2 76.9 61.5 92.3 98.4 98.5 98.6 26
        BKL: 80.0 68.3 74.6 65.2 65.2 75.8 96.2 93.2 96.3 66
        DF: 50.0 20.0 75.0 33.3 16.7 100.0 98.5 95.6 99.8 6
        MEL: 66.7 58.6 73.1 58.8 50.0 55.9 96.4 95.6 96.1 34
        NV: 95.3 94.5 97.4 98.2 98.3 97.1 97.7 97.4 98.4 663
        VASC: 90.0 100.0 75.0 90.0 80.0 90.0 99.8 99.7 99.9 10
        Avg.: 73.9 66.9 75.3 67.8 56.8 79.8 97.8 96.5 98.0 828
        W.Avg: 90.9 88.7 92.3 91.4 89.7 92.1 99.3 99.0 99.3 828
        """,
    ],
    "hdkd-table-7": [
        """
        Glioma: 100 100 100 99.3 99.7 100 100 99.8 100 300
        Meningioma: 98.7 99.0 99.7 99.7 100 99.7 99.9 99.9 99.9 306
        No tumor: 99.8 100 99.8 100 100 100 100 100 100 405
        Pituitary: 100 100 100 99.3 99.3 99.7 100 100 100 300
        Avg.: 99.6 99.8 99.9 99.6 99.7 99.8 100 99.9 100 1311
        W.Avg: 99.6 99.8 99.8 99.6 99.8 99.8 100 99.9 100 1311
        """,
    ],
    "hdkd-table-8": [
        """
        AKIEC: 56.0 100 68.8 60.9 39.1 47.8 98.1 96.6 96.5 23
        BCC: 68.0 62.1 63.2 65.4 69.2 92.3 98.7 98.7 98.6 26
        BKL: 68.3 75.0 74.6 65.2 68.2 75.8 93.0 94.6 96.3 66
        DF: 50.0 75.0 75.0 66.7 50.0 100 95.7 95.7 99.8 6
        MEL: 69.0 44.4 73.1 58.8 47.1 55.9 96.0 94.2 96.1 34
        NV: 96.6 95.0 97.4 97.1 97.7 97.1 97.5 96.4 98.4 663
        VASC: 81.8 100 75.0 90.0 80.0 90.0 98.4 100 99.9 10
        Avg.: 69.9 78.8 75.3 72.0 64.5 79.8 96.8 96.6 98.0 828
        W.Avg: 90.6 90.4 92.3 90.7 90.2 92.1 99.1 99.0 99.3 828
        """,
    ],
    "hdkd-table-9": [
        """
        Glioma: 100 100 100 99.7 99.7 100 100 100 100 300
        Meningioma: 99.3 99.4 99.7 99.7 100 99.7 99.9 100 99.9 306
        No tumor: 99.8 100 99.8 100 100 100 100 100 100 405
        Pituitary: 100 100 100 99.7 99.7 99.7 100 100 100 300
        Avg.: 99.8 99.8 99.9 99.8 99.8 99.8 100 100 100 1311
        W.Avg: 99.8 99.8 99.8 99.8 99.8 99.8 100 100 100 1311
        """,
    ],
    "tkd-explain": [
        """
        DenseNet121 (teacher): 566.89
        Five-layer CNN (student): 232.7
        """,
        """
        Brain tumour, teacher: - - - - - - - - -
        Brain tumour, student: - - - - - - - - -
        Eye disease, teacher: - - - - - - - - -
        Eye disease, student: - - - - - - 0.863 - -
        Alzheimer, teacher: - - - - - - - - -
        Alzheimer, student: - - - - - - - - -
        """,
        """
        DenseNet121 (teacher): 68 -
        Five-layer CNN (student): 15 -
        """,
    ],
    "tkd-grid": [
        """
        alpha 0.4, T 5: - -
        alpha 0.4, T 10: - -
        alpha 0.4, T 15: - -
        alpha 0.7, T 5: - -
        alpha 0.7, T 10: 0.9748 -
        alpha 0.7, T 15: - -
        Teacher: 0.9676 -
        """,
        """
        alpha 0.4, T 5: - -
        alpha 0.4, T 10: - -
        alpha 0.4, T 15: 0.9351 -
        alpha 0.7, T 5: - -
        alpha 0.7, T 10: - -
        alpha 0.7, T 15: - -
        Teacher: - -
        """,
        """
        alpha 0.4, T 5: 0.9946 -
        alpha 0.4, T 10: - -
        alpha 0.4, T 15: - -
        alpha 0.7, T 5: - -
        alpha 0.7, T 10: - -
        alpha 0.7, T 15: - -
        Teacher: 0.9938 -
        """,
    ],
    "xkd-figure-2": [],
    "xkd-table-1": [
        """
        VGG-19: 81.1 91.2 88.3 88.1 94.3 90.1
        DenseNet-201: 84.1 94.2 94.1 89.1 96.8 96.3
        OFA-595: 83.1 96.1 94.3 90.2 96.0 96.4
        Visformer-S: 82.4 96.5 94.7 91.4 97.3 97.1
        EEENA-Net C2: 82.9 95.9 94.6 89.9 96.8 96.9
        """,
    ],
    "xkd-table-2": [
        """
        VGG-19: 82.9 92.4 93.1 86.1 94.3 94.1
        DenseNet-201: 85.1 93.8 95.6 88.9 96.8 96.2
        OFA-595: 85.9 95.2 96.0 91.1 96.7 97.3
        Visformer-S: 83.6 97.2 95.09 92.0 97.0 97.1
        EEENA-Net C2: 83.2 96.1 96.9 93.7 96.9 98.7
        AutoFormer: 83.7 95.6 95.4 89.9 97.0 97.5
        """,
    ],
}
