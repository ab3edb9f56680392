import { createHash, randomInt, timingSafeEqual } from 'node:crypto';
import { armor, config, enums } from 'openpgp';
import { sealingSettings } from './openpgp-settings.ts';
import type { Sealer } from './sealer.ts';

/** `message`: armored, to be pasted into `gpg --decrypt` where the private key is. `answer`: what that prints. */
export type KeyChallenge = { message: string; answer: string };

// without letters and digits that look alike
const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';
const groups = 4;
const groupLength = 5;

/** A random text of 100 bits that only a private key of the sealer's recipients can read: `XXXXX-XXXXX-XXXXX-XXXXX`. */
export async function createKeyChallenge(sealer: Sealer): Promise<KeyChallenge> {
  const group = (): string =>
    Array.from({ length: groupLength }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
  const answer = Array.from({ length: groups }, group).join('-');
  const sealed = await sealer.sealMessage(Buffer.from(`${answer}\n`, 'utf8'));
  // with the checksum: gpg 2.2 takes the end line for data where it is missing
  const settings = { ...config, ...sealingSettings };
  const message = armor(enums.armor.message, sealed, undefined, undefined, undefined, true, settings);
  return { message, answer };
}

/** Whether a person typed the answer; case, spaces and dashes do not matter. */
export function checkKeyAnswer(challenge: KeyChallenge, typed: string): boolean {
  return timingSafeEqual(digest(challenge.answer), digest(typed));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text.toUpperCase().replaceAll(/[\s-]/g, '')).digest();
}
