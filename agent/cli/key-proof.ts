import fs from 'node:fs';
import { askText, canAsk, reportMistake } from '../../shared/cli/prompt.ts';
import { CodedError, systemErrorCode } from '../../shared/errors/coded-error.ts';
import type { Recipient } from '../../shared/sealing/recipient.ts';
import { Sealer } from '../../shared/sealing/sealer.ts';

const triesMax = 3;

/**
 * `challengeFile`: where the challenge goes instead of the terminal; null for the terminal. `withoutPerson`: what to do where
 * nobody can answer.
 */
export type KeyProofOptions = { challengeFile: string | null; withoutPerson: string };

/**
 * Resolves when a person has decrypted a challenge that is sealed to all these recipients together; any one of them can.
 * @throws CodedError USAGE (no terminal, a challenge file that exists), KEY_WRONG (three wrong answers)
 */
export async function proveKeys(recipients: readonly Recipient[], options: KeyProofOptions): Promise<void> {
  if (!canAsk()) {
    throw new CodedError('USAGE', 'there is no terminal to prove on that the private key can be used', {
      hint: options.withoutPerson,
    });
  }
  const { checkKeyAnswer, createKeyChallenge } = await import('../../shared/sealing/key-challenge.ts');
  const challenge = await createKeyChallenge(await Sealer.toRecipients(recipients));
  const { challengeFile } = options;
  const remove = (): void => {
    if (challengeFile !== null) fs.rmSync(challengeFile, { force: true });
  };
  if (challengeFile !== null) writeChallenge(challengeFile, challenge.message);
  process.once('exit', remove);
  try {
    process.stderr.write(instructions(recipients, challenge.message, challengeFile));
    for (let left = triesMax - 1; left >= 0; left -= 1) {
      const typed = await askText('The answer');
      if (checkKeyAnswer(challenge, typed)) return;
      if (left > 0) await reportMistake(`That is not it. Tries left: ${left}`);
    }
  } finally {
    remove();
    process.off('exit', remove);
  }
  throw new CodedError('KEY_WRONG', `the proof failed: ${triesMax} wrong answers`, {
    hint: `"gpg --list-secret-keys" where you decrypt must show ${recipients.length === 1 ? 'the key' : 'one of the keys'}; ${options.withoutPerson}`,
  });
}

function writeChallenge(file: string, message: string): void {
  try {
    fs.writeFileSync(file, message, { flag: 'wx', mode: 0o644 });
  } catch (cause) {
    throw new CodedError('USAGE', `${file} cannot be written: ${systemErrorCode(cause) ?? String(cause)}`, {
      hint: 'name a new file for the challenge',
      cause,
    });
  }
}

function instructions(
  recipients: readonly Recipient[],
  message: string,
  challengeFile: string | null,
): string {
  const [key, program] = [
    recipients.length === 1 ? 'the private key' : 'one of the private keys',
    recipients.every(({ readableByGpg }) => !readableByGpg) ? 'sq decrypt' : 'gpg -d',
  ];
  if (challengeFile !== null) {
    return [
      '',
      `Prove that ${key} can be used. Copy ${challengeFile} to the machine that has it and run`,
      `  ${program} ${challengeFile.split('/').at(-1) ?? challengeFile}`,
      'there. Type here what it prints: XXXXX-XXXXX-XXXXX-XXXXX.',
      '',
    ].join('\n');
  }
  return [
    '',
    `Prove that ${key} can be used. On the machine that has it (not this server) run`,
    `  ${program}`,
    'paste the lines below into it and press Ctrl-D. Type here what it prints: XXXXX-XXXXX-XXXXX-XXXXX.',
    '',
    message,
  ].join('\n');
}
