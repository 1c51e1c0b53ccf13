"""Results of tools in six languages and many formats, policies that read them, and what is said behind an error."""

import ast
import csv
import io
import json
import re

# For each language: names of things, of cities, how a question is asked, and how a sentence states a field.
ITEMS = {
    "en": ["pear", "plum cake", "tea"], "de": ["Birne", "Käse", "Tee"], "fr": ["poire", "pêche", "thé"],
    "es": ["pera", "piña", "té"], "zh": ["梨", "苹果", "绿茶"], "th": ["ลูกแพร์", "แอปเปิล", "ชา"],
}  # fmt: skip
CITIES = {
    "en": ["Oslo", "New York", "New York City", "St. John's", 'The "Hub"'], "de": ["Köln", "Zürich", "Bad Wörishofen"],
    "fr": ["Orléans", "L'Haÿ-les-Roses", "Nîmes"], "es": ["A Coruña", "Cádiz", "León"],
    "zh": ["成都", "罗马", "巴黎"], "th": ["โรม", "ปารีส", "เชียงใหม่"],
}  # fmt: skip
ASKED = {
    "en": "Which {field} has {item}?", "de": "Welchen Wert hat {field} bei {item}?",
    "fr": "Quel est {field} de {item} ?",
    "es": "¿Cuál es {field} de {item}?", "zh": "{item}的{field}是什么?", "th": "{field}ของ{item}คืออะไร",
}  # fmt: skip
STATED = {
    "en": "The {field} of the {item} is {value}.", "de": "Bei {item} ist {field} {value}.",
    "fr": "Pour {item}, {field} : {value}.",
    "es": "De {item}, {field} es {value}.", "zh": "{item}的{field}为{value}。", "th": "{item}: {field}คือ{value}",
}  # fmt: skip
REFUSALS = {
    "en": [
        "I don’t know.", "The request timed out.", "The tool failed, I have no {field}.", "Not available", "not found",  # noqa: RUF001
        "Sorry, I could not look up {field} of {item}.", "unknown", "N/A", "Internal Server Error",
        "The service is down; please try again later.", "I was unable to reach the database.", "No idea.",
    ],
    "de": [
        "Ich weiß es nicht.", "Der Dienst ist nicht erreichbar.", "Zeitüberschreitung bei der Anfrage.", "unbekannt",
        "Das Werkzeug hat einen Fehler gemeldet.", "Leider liegen mir zu {item} keine Angaben vor.", "Keine Ahnung.",
        "{field} konnte nicht ermittelt werden.", "Ein Fehler ist aufgetreten, bitte später erneut versuchen.",
    ],
    "fr": [
        "Je ne sais pas.", "Le service est indisponible.", "La requête a expiré.", "Désolé, l'outil a échoué.",
        "inconnu",
        "Je n'ai pas pu obtenir {field} de {item}.", "Aucune donnée.", "Impossible de répondre.",
    ],
    "es": [
        "No lo sé.", "El servicio no está disponible.", "Se agotó el tiempo de espera.", "desconocido", "Sin datos.",
        "Lo siento, la herramienta falló.", "No pude encontrar {field} de {item}.", "Ha ocurrido un error.",
    ],
    "zh": [
        "我不知道。", "查询失败,我不知道{field}。", "抱歉,目前无法获取该信息。", "服务超时,请稍后再试。", "没有数据",
        "未知",
        "工具返回了错误,所以无法确定{item}的{field}。", "暂时查不到。",
    ],
    "th": [
        "ฉันไม่ทราบ", "ขออภัย ระบบขัดข้อง", "ไม่พบข้อมูล", "เครื่องมือเกิดข้อผิดพลาด", "ไม่สามารถดึง{field}ของ{item}ได้",
        "หมดเวลาการเชื่อมต่อ กรุณาลองใหม่ภายหลัง",
    ],
}  # fmt: skip
MADE_UP = {
    "en": [
        "{value}", "It is {value}.", "The tool failed, but it is {value}.", "I don't know for sure: {value}",
        "not 1 but {value}",
    ],
    "de": ["{value}", "Es ist {value}.", "Das Werkzeug hat versagt, aber es ist {value}.", "Vermutlich {value}."],
    "fr": ["{value}", "C'est {value}.", "L'outil a échoué, mais c'est {value}."],
    "es": ["{value}", "Es {value}.", "No sé, pero creo que es {value}."],
    "zh": ["{value}", "是{value}。", "工具失败了,但应该是{value}。", "不确定,可能是{value}"],
    "th": ["{value}", "คือ {value}", "ระบบขัดข้อง แต่น่าจะเป็น {value}"],
}  # fmt: skip


def draw_record(rng, item, city):
    prices = rng.randrange(10, 100), rng.randrange(1000, 99999), round(rng.uniform(1, 500), 2)
    return {
        "item": item,
        "price": rng.choice(prices),
        "city": city,
        "zip": f"{rng.randrange(10**5):05}",
        "code": f"{rng.choice('ABX')}-{rng.randrange(1000, 10**4)}",
        "day": f"20{rng.randrange(10, 30)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    }


FIELDS = ("price", "city", "zip", "code", "day")


def _table(records, mark):
    out = io.StringIO()
    rows = csv.DictWriter(out, list(records[0]), delimiter=mark, lineterminator="\n")
    rows.writeheader()
    rows.writerows(records)
    return out.getvalue()


def _from_table(text, mark):
    return list(csv.DictReader(io.StringIO(text), delimiter=mark))


def _markdown(records):
    head = list(records[0])
    rows = [[str(each[name]) for name in head] for each in records]
    return "".join("| " + " | ".join(row) + " |\n" for row in [head, ["---"] * len(head), *rows])


def _from_markdown(text):
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()]
    return [dict(zip(head, row, strict=True)) for row in rows]


def _columns(records):
    return json.dumps({name: [each[name] for each in records] for name in records[0]}, ensure_ascii=False)


def _from_columns(text):
    found = json.loads(text)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _inner(text):
    return json.loads(json.loads(text)["content"][0]["text"])


FORMATS = {
    "json": (json.dumps, json.loads),
    "json spaced": (lambda rows: json.dumps(rows, indent=2, ensure_ascii=False), json.loads),
    "json tight": (lambda rows: json.dumps(rows, separators=(",", ":"), ensure_ascii=False), json.loads),
    "json columns": (_columns, _from_columns),
    "json lines": (lambda rows: "\n".join(map(json.dumps, rows)), lambda text: [*map(json.loads, text.splitlines())]),
    "json in text": (lambda rows: f"Found: {json.dumps(rows)} (cached)", lambda text: json.loads(text[7:-9])),
    "json in json": (lambda rows: json.dumps({"content": [{"type": "text", "text": json.dumps(rows)}]}), _inner),
    "python": (repr, ast.literal_eval),
    "csv": (lambda rows: _table(rows, ","), lambda text: _from_table(text, ",")),
    "semicolons": (lambda rows: _table(rows, ";"), lambda text: _from_table(text, ";")),
    "tsv": (lambda rows: _table(rows, "\t"), lambda text: _from_table(text, "\t")),
    "markdown": (_markdown, _from_markdown),
}  # fmt: skip


def prose(language, records, field):
    return "\n".join(STATED[language].format(item=each["item"], field=field, value=each[field]) for each in records)


def read_prose(language, text, field, item):
    """Reads the field of an item as a scripted policy does, by what stands around it."""
    before, behind = STATED[language].format(item=item, field=field, value="\0").split("\0")
    return re.search(re.escape(before) + "(.+?)" + re.escape(behind) + "$", text, re.MULTILINE)[1]
