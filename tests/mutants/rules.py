"""The rules that make the protocol correct. At least one bug is planted against each."""

from typing import Final

RULES: Final = {
    "first answer": "The first answer to a question counts, once; a later one is refused to whoever gives it.",
    "taken up": "What follows from a fact follows from it alone; a fact that became void is used by nobody.",
    "walk": "A node begins after all that was taken before it, and after nothing else.",
    "no lost wake-up": "Nobody pauses, ends or begins in ignorance of a fact; what has happened is never dropped.",
    "delivery": "Every fact reaches the holder, in order, however often streams break.",
    "holds": "Nothing begins while a hold stands, and each hold ends in its own way.",
    "guard": "Only the lease that is held appends; each change of holder changes lease and epoch.",
    "tails": "What a holder dropped is never stored; what it sends again is stored once.",
    "commit first": "Only what is committed is acknowledged, and answered.",
    "streams": "An executor has one stream, and is given no more than it has room for.",
    "claims": "A claim that was not received is taken back; what is held and what is recorded are compared.",
    "time": "Leases count from the sending of what renewed them; outages count against nobody.",
    "takeover limit": "A run that ends every executor is held.",
    "generations": "A store that went back voids its leases and holds what may have had an effect, before anything goes on.",
    "routing": "A run goes to an executor that has what it needs, and is given back when nothing of it runs.",
    "limits": "No more go on than a limit allows, whoever hands them out; what was given back is there for others.",
    "start before launch": "Guarded work begins when its start is stored and enough of the lease is left.",
    "work end": "What runs is over before anybody else may do it again.",
    "doubt": "A lost guarded effect is held for a person, whose answer has seen the last report.",
    "keys": "Work has one key, and work that is done anew another.",
    "jumps": "A walk goes back over what is settled, and over no doubt and no open question.",
    "stops": "Nothing begins under a stop, and nothing is stored after an end.",
    "answers": "A person's no, and time that ran out, are answers: nothing is tried again for them.",
    "continuing": "An end is answered by name, and only what it says is released.",
    "approvals": "A decision is bound to what was shown.",
    "one writer": "A request that fails leaves nothing; each event has the next number.",
    "culprits": "A batch that the store refuses harms its run alone.",
    "children": "A child begins with its parent's word for it, ends no later than it, and its end counts once.",
    "parts": "What is done in another queue is as if it were done in place, at the same address and under the same key.",
    "failures": "A failure that is for good is taken once, by what the plan has for it, or ends the run.",
    "promises": "What is not there is a failure: before a node begins, and when it has done its work.",
    "snapshots": "A snapshot is what its log folds to; deleting it changes nothing.",
    "ledger": "A position is safe where every effect before it is over.",
    "retention": "What is deleted is over, goes whole, and is named by nobody.",
    "size": "What steers a run does not depend on how much it was given or has left.",
    "copies": "A copy is the store at one moment, and takes no store's place by mistake.",
    "back-offs": "A pause before an attempt is as long as was said, whoever has the run.",
    "schedules": "Each time of a schedule is dealt with once, as its policy says.",
    "checker": "A check believes nothing that it can look at.",
    "other": "Rules of features beside the protocol.",
}
"""Each rule's name, and what it says."""

OTHER: Final = "other"
