"""Is an answer right?  Rules, rewards and readings that need nothing but the text.

    response  ──tags, boxed, gaia.final_answer──>  answer  ──qa, gaia, maths──>  score

Functions here are pure and take time linear in the response, so a reward can call them on whatever
a model writes.  The one that is not, `maths.MathsScorer`, asks processes that it can kill.
"""
