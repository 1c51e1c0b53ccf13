"""`evaluation.json`: typed, with one reader and one writer."""

from align.evaluation.record.file import EVALUATION_FILE, ITEMS_FILE, as_json, read_record, write_record
from align.evaluation.record.record import SCORES, Record

__all__ = [
    "EVALUATION_FILE",
    "ITEMS_FILE",
    "SCORES",
    "Record",
    "as_json",
    "read_record",
    "write_record",
]
