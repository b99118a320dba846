"""The rules of what an engine may be told besides its typed options, made from the tables of refused arguments and variables."""

from collections.abc import Collection

from holdfast.api import engine_environment
from holdfast.api.crd_rule import Rule, regex, text
from holdfast.api.engine_arguments import FREE, REFUSED, WORDS
from holdfast.api.model import EngineType


def refused_arguments(engine: EngineType) -> Rule:
    """Say in CEL what `holdfast.api.engine_arguments.refusal` says, for one engine."""
    refused = REFUSED[engine]
    reasons = " : ".join(
        f"{_one_of([flag for flag in refused if refused[flag] == instead])} ? {text(instead)}"
        for instead in dict.fromkeys(refused.values())
    )
    free = ", ".join(text(flag) for flag in FREE[engine])
    whole = "self.args.map(a, a.split('=')[0].split('.')[0])" + (f".filter(name, !(name in [{free}]))" if free else "")
    names = f"{whole}.map(name, name.replace('--no-', '--', 1))"
    return Rule(
        path="spec.model.engine",
        expression=f"self.type != '{engine.value}' || !has(self.args) || !{names}.exists(name, {_one_of(refused)})",
        message=f"an argument of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
        message_expression=f"{names}.filter(name, {_one_of(refused)}).map(name, name + ': ' + ({reasons} : ''))[0]",
        field=".args",
        reason="FieldValueForbidden",
    )


def refused_words(engine: EngineType) -> Rule:
    """Say in CEL that none of the words of `WORDS` is in an argument, for an engine that has some."""
    listed = f"[{', '.join(text(word) for word in WORDS[engine])}]"
    reasons = " : ".join(f"word == {text(word)} ? {text(instead)}" for word, instead in WORDS[engine].items())
    return Rule(
        path="spec.model.engine",
        expression=f"self.type != '{engine.value}' || !has(self.args)"
        f" || !self.args.exists(a, {listed}.exists(word, a.contains(word)))",
        message=f"a word in an argument of {engine.value} would choose or loosen the pinned model",
        message_expression=f"{listed}.filter(word, self.args.exists(a, a.contains(word)))"
        f".map(word, word + ': ' + ({reasons} : ''))[0]",
        field=".args",
        reason="FieldValueForbidden",
    )


def _one_of(flags: Collection[str]) -> str:
    """Return CEL for: `name` is one of the flags, or the beginning of one, or of one of the families that end in ``*``."""
    plain = ", ".join(text(flag.removesuffix("*")) for flag in flags)
    families = ", ".join(text(flag.removesuffix("*")) for flag in flags if flag.endswith("*"))
    condition = f"[{plain}].exists(flag, flag.startsWith(name))"
    return f"({condition} || [{families}].exists(flag, name.startsWith(flag)))" if families else condition


def refused_environment(engine: EngineType) -> Rule:
    """Say in CEL what `holdfast.api.engine_environment.refusal` says, for one engine."""
    reasons = " : ".join(
        f"name.matches({_names(names)}) ? {text(instead)}" for instead, names in engine_environment.by_reason(engine).items()
    )
    everything = _names(engine_environment.REFUSED[engine])
    found = f"self.env.filter(e, e.name.matches({everything}))"
    return Rule(
        path="spec.model.engine",
        expression=f"self.type != '{engine.value}' || !has(self.env) || !self.env.exists(e, e.name.matches({everything}))",
        message=f"a variable of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
        message_expression=f"{found}.map(e, e.name).map(name, name + ': ' + ({reasons} : ''))[0]",
        field=".env",
        reason="FieldValueForbidden",
    )


def _names(names: Collection[str]) -> str:
    return regex(engine_environment.pattern(names))
