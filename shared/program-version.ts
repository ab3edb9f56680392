/** The version of both programs; a test keeps it equal to package.json. */
export const programVersion = '0.1.0';

/** The oldest Node.js that both programs run on; a test keeps it equal to `engines` in package.json. */
export const neededNodeVersion = '24.12.0';
