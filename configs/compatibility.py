"""What differs between the versions that we run on; docs/versions.md lists it.

Each function says which version needs it. When the older row goes, so do they.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field is a list.

    protobuf 3.20 (TFX 1.16) knows `label` alone; protobuf 6 (TFX 1.21) warns of it.
    """
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)
