// A client of the platform: the tutor misses two sessions, written in one transaction by drizzle-orm.
import { and, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";

import { sessions, subjects, tutors, users } from "./schema";

const tutor = process.argv[2];
const db = drizzle(process.env.DATABASE_URL!);
const yesterday = new Date(Date.now() - 24 * 3600 * 1000).toISOString().replace("Z", "");

await db.transaction(async (tx) => {
  await tx.insert(users).values([
    { id: tutor, email: `${tutor}@example.test`, name: tutor, role: "tutor" },
    { id: `${tutor}-student`, email: `${tutor}-student@example.test`, name: "A student", role: "student" },
  ]);
  await tx.insert(tutors).values({ userId: tutor });
  const [subject] = await tx.insert(subjects).values({ name: `Algebra of ${tutor}`, category: "math" }).returning();
  const missed = { tutorId: tutor, studentId: `${tutor}-student`, subjectId: subject.id, scheduledDuration: 60 };
  await tx.insert(sessions).values([
    { ...missed, scheduledStart: yesterday, sessionNumber: 2, status: "no_show_tutor" },
    { ...missed, scheduledStart: yesterday, sessionNumber: 3 },
  ]);
});
// Some clients write a session as scheduled, and its status later.
await db.update(sessions).set({ status: "no_show_tutor" }).where(
  and(eq(sessions.tutorId, tutor), eq(sessions.sessionNumber, 3)),
);
await db.$client.end();
