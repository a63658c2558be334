"""How an event's budget stands, in plain words."""

from backend.usage.budgets import MS_PER_HOUR, Budgeted, Standing, standing_of

SENTENCES = {
    Standing.WITHIN: "within the budget",
    Standing.WARNED: "nearly spent",
    Standing.SPENT: "spent: the embedded engine alone is used",
}


def budget_sentence(event: Budgeted, *, spent_ms: int) -> str:
    budget_hours = event.monthly_budget_hours
    used = f"{spent_ms / MS_PER_HOUR:.2f}"
    if budget_hours is None:
        return f"{used} h used, no budget"
    standing = standing_of(spent_ms=spent_ms, budget_hours=budget_hours)
    return f"{used} of {budget_hours} h used, {SENTENCES[standing]}"
