"""The zoo: value functions whose shards are known, and what metrics say of them.

A metric of shardedness has to tell value functions with shards from those without, on
members where the answer is known, before it may say anything of an ordinary network.

    config       what a zoo consists of: world, members, metrics
    states       listed states with their exact values: to train on, and to measure on
    nets         a member as a network of the features of E
    making       trains or builds every member of one seed
    metrics      a score of shardedness for each member and seed
    calibration  what the scores separate, and how well
    folder       files of a zoo; each is kept, so that a zoo can be continued
"""
