"""What is wrong with a run, in words, and the next command to try: `python -m llcx.doctor RUN`.

Reads the run folder alone. Flags are symptoms, which `causes` combines; `cures` says what each cause asks for, and
`command` makes of the gravest one's cure the run's own command with that change.
"""

from llcx.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
